#pragma once
// Which of the addresses that ServiceEntries write down are pods' or Services' of other namespaces. Kept in step one object at a time, so that no entry
// has to look at all of them; costs nothing while no entry writes any address. Plain data on one thread.

#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/derive/objects.h"

namespace culvert::derive {

class Covered {
 public:
  // A Pod, Service or ServiceEntry comes or goes; other kinds are nothing here. `beside`: what was added before, for the first address that is written down.
  // `turned` gets the entries that may cover somebody now and did not, or the other way round.
  void add(const config::Object& object, const Objects& beside, std::set<config::Key>& turned);
  void remove(const config::Object& object, std::set<config::Key>& turned);
  // One entry alone, which may stand nowhere yet: looks at all that it may cover.
  void look(const config::Object& entry, const Objects& beside);

  // Whether this range, which an entry writes, has addresses of other namespaces than its own.
  struct Others {
    bool pods = false, services = false;
  };
  Others of(const Cidr& range, std::string_view name_space) const;

 private:
  using Counts = std::map<std::string, std::size_t, std::less<>>;  // by namespace
  struct Range {
    std::set<config::Key> entries;
    Counts pods, services;
  };
  static void count(Range& range, const config::Object& owner, int by, std::set<config::Key>* turned);
  void move(const config::Object& owner, int by, std::set<config::Key>& turned);
  void cover(const Cidr& written, const config::Key& entry);
  void uncover(const Cidr& written, const config::Key& entry);

  std::map<Cidr, Range> ranges_;
  std::map<std::pair<bool, std::uint8_t>, std::size_t> lengths_;  // {v6, length} -> how many ranges
  // By address, while there are ranges. An object is here from its add() to its remove().
  std::set<std::pair<IpAddress, const config::Object*>> owners_;
};

}  // namespace culvert::derive
