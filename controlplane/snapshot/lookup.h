#pragma once
// What addresses are found by beside their names, for whoever asks for a few of them (protocols.md §2.2): "network/ip", the service of which they are an endpoint,
// the node that they run on, and an address inside a range of theirs. Plain data on the control thread.

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
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
    std::vector<std::string> aliases{};  // "network/ip", and "network/ip/length" of a range
    std::vector<model::Vip> ranges{};
    bool of_node = false;                 // the addresses are its node's, and all have them that are in its network
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
  // Whoever has a range in which the address "network/ip" is, the closest first, sixteen at most; who has several of them is there several times. Costs as much as there are
  // lengths of prefixes in that network. None when it is no such name.
  static constexpr std::size_t kMostAround = 16;
  std::vector<std::string_view> around(std::string_view address) const;

 private:
  using Index = std::map<std::string, Names, std::less<>>;

  struct Kind {  // of ranges
    std::string network;
    bool v6 = false;

    friend auto operator<=>(const Kind&, const Kind&) = default;
  };
  using Lengths = std::map<std::uint8_t, std::map<IpAddress, Names>, std::greater<>>;

  void put(const std::string& name, Entry entry);
  void put_range(const model::Vip& range, std::string_view name);
  void remove_range(const model::Vip& range, std::string_view name);

  std::map<std::string, Entry, std::less<>> entries_;  // own the names
  Index by_alias_, by_service_, by_node_;
  std::map<Kind, Lengths> by_range_;
};

}  // namespace culvert::controlplane
