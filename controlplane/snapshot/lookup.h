#pragma once
// What addresses are found by beside their names, for whoever asks for a few of them (protocols.md §2.2): "network/ip", the service of which they are an endpoint, and
// the node that they run on. Plain data on the control thread.

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "common/model/service.h"
#include "common/model/workload.h"

namespace culvert::controlplane {

class Lookup {
 public:
  void put(const model::Workload& workload);
  void put(const model::Service& service);
  void remove(std::string_view name);

  struct Entry {
    std::vector<std::string> aliases{};   // "network/ip", and "network/ip/length" of a range, by which nobody finds it
    std::vector<std::string> services{};  // of which it is an endpoint: "namespace/hostname"
    std::string node{};
  };
  // Null when there is none.
  const Entry* find(std::string_view name) const;

  // Names of resources, in order. They live until something is put or removed.
  using Names = std::set<std::string_view>;
  const Names& at(std::string_view alias) const;
  const Names& endpoints_of(std::string_view service) const;
  const Names& on(std::string_view node) const;

 private:
  using Index = std::map<std::string, Names, std::less<>>;

  void put(const std::string& name, Entry entry);

  std::map<std::string, Entry, std::less<>> entries_;  // own the names
  Index by_alias_, by_service_, by_node_;
};

}  // namespace culvert::controlplane
