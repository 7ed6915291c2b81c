#pragma once
// What is served now, and what changed when: the resources of each type, each serialised once and shared by every response that carries it. Of what a
// resource is nothing else is kept: a hundred thousand are a hundred thousand times what is kept of one.
//
// Every change of what is derived makes one new epoch. A resource remembers the epoch in which it became what it is; what was removed is remembered
// as long as a stream needs it. So a subscriber is one number, the epoch it has been sent, and its next push is what stands after that number:
// no copy of the world per stream, and whatever happened meanwhile is in one push.
// Versions are hashes of the content: the same object has the same version after a restart and on every replica.
// On the control thread.

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/derive/deriver.h"
#include "common/xds/sums.h"
#include "common/xds/versions.h"
#include "controlplane/snapshot/lookup.h"

namespace culvert::controlplane {

using Epoch = std::uint64_t;

enum class Type : std::uint8_t { kAddress, kWorkload, kAuthorization };
inline constexpr std::size_t kTypes = 3;
std::string_view type_url(Type type);
std::string_view short_name(Type type);  // as istioctl calls it: "WDS", "WADS"

// A change of a resource, the last one: it is there in the Table, or gone.
struct Turn {
  Epoch epoch = 0;
  std::string_view name;
};
using Turns = std::list<Turn>;  // oldest first

struct Resource {
  Epoch epoch = 0;                             // since when it is what it is
  std::uint64_t hash = 0;                      // of its content
  std::shared_ptr<const std::string> encoded;  // as a field of a response (xds::encode_resource)
  Turns::iterator turn;                        // the Table's

  std::string version() const;  // 16 hex digits
  bool is_of(std::string_view version) const;
};

// All resources of a type as they were in one epoch.
struct Whole {
  Epoch epoch = 0;
  std::size_t count = 0;
  std::string encoded;  // fields of a response
};

// The version of each resource of a type, as of one epoch: in one block, which is read through in a twentieth of the time that it takes to look at each
// resource. For comparing with what nodes say that they hold.
class Listing {
 public:
  Listing(Epoch epoch, xds::Versions versions) : epoch_(epoch), versions_(std::move(versions)) {}

  Epoch epoch() const { return epoch_; }
  const xds::Versions& versions() const { return versions_; }
  // Made when they are asked for first, by whoever says what it holds in sums.
  const xds::Sums& sums() const;
  // What of it is in some parts.
  xds::Versions of_parts(const xds::Parts& parts) const { return sums().of_parts(versions_, parts); }

 private:
  Epoch epoch_;
  xds::Versions versions_;
  mutable std::optional<xds::Sums> sums_;
};

// All resources of one type.
class Table {
 public:
  using Resources = std::map<std::string_view, Resource>;  // the names stand in `encoded`

  const Resources& resources() const { return resources_; }
  const Resource* find(std::string_view name) const;

  // In order of epoch: what changed after `epoch`, each name once. `resource` is null for what was removed.
  using Visit = std::function<void(std::string_view name, const Resource* resource)>;
  void after(Epoch epoch, const Visit& visit) const;
  // Not more than `most` names have.
  bool few_after(Epoch epoch, std::size_t most) const;
  // The epoch of the newest put and of the newest removal.
  Epoch newest_put() const { return newest_put_; }
  Epoch newest_removal() const { return newest_removal_; }

  // False when `name` has this content already.
  bool put(std::string name, std::string_view type_url, std::string value, Epoch epoch);
  bool remove(std::string_view name, Epoch epoch);
  // Forgets removals up to `epoch`: every stream has been told. Returns the epoch of the last that it had, 0: of none.
  Epoch forget_removals(Epoch epoch);

 private:
  Resources resources_;
  std::map<std::string, Turns::iterator, std::less<>> removed_;  // names that are gone, while somebody may not know
  Turns turns_;                                                  // one of each name
  Epoch newest_put_ = 0;
  Epoch newest_removal_ = 0;
};

class Snapshot {
 public:
  Epoch epoch() const { return epoch_; }
  // Bare Workloads are what proxies other than ours ask for: their table is made when it is asked for first.
  const Table& table(Type type) const;
  // All addresses for whoever begins with nothing: as they are, or as they were when somebody still has that. Not as of before a policy was removed,
  // which they might name.
  std::shared_ptr<const Whole> whole() const;
  // As they are, or as they were: what has changed since is what table() has after that epoch, and is little. Good until something changes.
  const Listing& listing(Type type) const;
  // Nobody is going to ask for one soon: they are megabytes.
  void drop_listings() const;
  // By what addresses are found beside their names. Made when it is asked for first, by whoever wants only some; kept current from then on.
  const Lookup& lookup() const;
  // All workloads, as they are served.
  void each_workload(const std::function<void(model::Workload workload)>& visit) const;

  // A workload that came out different: part of what apply() takes next.
  void put(const model::Workload& workload);
  // Takes what came out different. A new epoch, unless the bytes are the same as before; says which.
  bool apply(const derive::Delta& delta);
  void forget_removals(Epoch epoch);

 private:
  Epoch epoch_ = 0;
  bool put_ = false;  // something, for the next epoch
  Table addresses_, policies_;
  mutable std::optional<Table> workloads_;
  mutable std::optional<Lookup> lookup_;
  mutable std::weak_ptr<const Whole> whole_;
  mutable std::optional<Listing> listings_[kTypes];
};

}  // namespace culvert::controlplane
