#pragma once
// Who has which address, so that of several with one address on one network each can say so. An object's own addresses cost as much as a look into a map,
// however many there are; of those that share one, a few are looked at and named. Plain data on one thread.

#include <cstddef>
#include <cstdint>
#include <set>
#include <string_view>
#include <vector>

#include "common/base/address.h"
#include "common/config/object.h"
#include "common/derive/objects.h"

namespace culvert::derive {

class Sharing {
 public:
  static constexpr std::size_t kMost =
      16;  // of those at one address that are looked at and named, and of the addresses of one object that are told

  // What an object has addresses for. Those of Services are the cluster's, and nobody else's on purpose (covered.h).
  enum class As : std::uint8_t {
    kWorkload,  // Pods that are not in their node's network, WorkloadEntries; of one machine many ServiceEntries may have endpoints
    kService,  // single addresses that ServiceEntries write down
  };

  Sharing() = default;
  explicit Sharing(const Objects& objects);  // of all of them

  // It must stay where it is until it is removed. Other kinds are nothing here.
  void add(const config::Object& object);
  void remove(const config::Object& object);

  // An address that others have as well. `others`: by network, kind, namespace and name, not more than kMost.
  struct Shared {
    As as{};
    IpAddress address;
    std::vector<config::Key> others;  // empty: kMost and more of them come before it
    bool more = false;                // than these
  };
  // Of an object that is here, or is to be, its first kMost. `mesh`: the network of whoever names none.
  std::vector<Shared> of(const config::Object& object, std::string_view mesh) const;

  // Whose of() may be another when `before` becomes `now`, or has: null, it comes or goes. What both have is nothing to anybody.
  std::set<config::Key> beside(const config::Object* before, const config::Object* now, std::string_view mesh) const;

 private:
  struct Place {
    As as{};
    IpAddress address;
    std::string_view network;  // the object's own word; empty: that of the mesh

    friend auto operator<=>(const Place&, const Place&) = default;
  };
  struct Holder {
    Place place;
    const config::Object* object;
  };
  // By place, then as keys are ordered.
  struct Order {
    using is_transparent = void;
    bool operator()(const Holder& a, const Holder& b) const;
    bool operator()(const Holder& a, const Place& b) const { return a.place < b; }
    bool operator()(const Place& a, const Holder& b) const { return a < b.place; }
  };

  static std::vector<Place> places_of(const config::Object& object);
  // Not more than `most` of those at a place, in the order of Shared.
  std::vector<const config::Object*> at(const Place& place, std::string_view mesh, std::size_t most) const;

  std::set<Holder, Order> holders_;
};

}  // namespace culvert::derive
