#pragma once
// What a subscriber has asked for by name, and what it has been given for that, without a socket (protocols.md §2.2).
//
// A name is that of a resource, or an address, "network/ip". Its answer is every resource that has it, workloads and services alike, with their aliases, by
// which the subscriber knows what they are the answer to; of a service its endpoints as well, since without them it is of no use. Who has a range around an
// address has it as well: which of them owns it, the closest or one of the namespace that asks, is for the subscriber to say (protocols.md §2.5). A name that
// nothing has is answered as removed. From then on the subscriber is told what becomes of all that it was given, of new endpoints of services among that, and
// of whoever comes to have one of the names. What runs on its own node it is given unasked. An answer costs as much as there is in it, whatever else there is.
//
// A subscriber that comes back brings along names of resources, and not every address that it asked for: ztunnel forgets those that nobody had, also when
// somebody comes to have them. So the addresses of all that it brings along are followed as if it had asked for them.

#include <compare>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/xds/versions.h"
#include "controlplane/snapshot/snapshot.h"

namespace culvert::controlplane {

class Demand {
 public:
  Demand() = default;
  Demand(Demand&&) = default;
  Demand& operator=(Demand&&) = default;

  // What there is. `lookup`: null for types whose resources have no name but their own.
  struct Source {
    const Table& table;
    const Lookup* lookup = nullptr;
  };
  // A response, as it is being put together: what was asked for comes first, by all the names that it is the answer to, and nothing twice.
  struct Answer {
    std::vector<std::shared_ptr<const std::string>>& resources;
    std::vector<std::string>& removed;
    std::set<std::string_view> given{};           // the names in `resources`
    std::set<std::string, std::less<>> nobody{};  // what nothing has of what was asked for: in `removed`
    std::map<std::string_view, std::vector<std::string>>
        inside{};  // addresses that are asked for, by who has a range around them
  };

  void ask(std::string_view name);
  // It is told what becomes of it, and has the answer already, or brings along what says so (recall). False when it was followed before.
  bool follow(std::string_view name);
  void drop(std::string_view name);
  // Whose workloads are given unasked; empty: nobody's.
  void runs_on(std::string node) { node_ = std::move(node); }
  // Anything is followed.
  bool any() const { return !names_.all.empty(); }
  // Something was asked for and is not answered yet.
  bool pending() const { return !fresh_.all.empty(); }

  // What the client brought along when it came; what of it is no more goes into `gone`, in order. What differs is in the next answer.
  void recall(const xds::Versions& held, const Source& source, std::vector<std::string>& gone);
  // All that is pending.
  void take(const Source& source, Answer& answer);
  // And then: a resource has become another, or is new, or is gone. False when it is none of what was asked for.
  bool put(std::string_view name, const Source& source, Answer& answer);
  bool gone(std::string_view name, Answer& answer);

  // How many names and resources were looked at so far, whatever came out: what it costs, without a clock.
  std::size_t looked_at() const { return looked_at_; }
  // What it remembers, in bytes, more or less.
  static constexpr std::size_t kEntry = 80;  // of a set of names, beside the characters
  std::size_t kept() const { return names_.kept() + fresh_.kept() + given_.kept() + kEntry * addresses_.size(); }

 private:
  struct Names {
    std::set<std::string, std::less<>> all;
    std::size_t bytes = 0;

    bool contains(std::string_view name) const { return all.contains(name); }
    bool add(std::string_view name);
    bool remove(std::string_view name);
    std::size_t kept() const { return kEntry * all.size() + bytes; }
  };

  struct Address {
    std::string_view network;
    bool v6 = false;  // first of each family all of it: a range is in one
    IpAddress address{};
    std::string_view name{};  // as it was asked for

    friend auto operator<=>(const Address&, const Address&) = default;
  };

  void follow_addresses_of(std::string_view name, const Lookup& lookup);
  bool asks_inside(const model::Vip& range) const;
  bool wants(std::string_view name, const Source& source);
  void give(std::string_view name, const Source& source, Answer& answer);
  void give_own_node(const Source& source, Answer& answer);
  void answer_name(const std::string& name, const Source& source, Answer& answer);

  Names names_;                  // asked for
  std::set<Address> addresses_;  // of these; their text stands in `names_`
  Names fresh_;                  // and of these, and of what it holds, not answered yet
  Names given_;                  // resources that it has
  std::string node_;
  bool node_given_ = false;
  std::size_t looked_at_ = 0;
};

}  // namespace culvert::controlplane
