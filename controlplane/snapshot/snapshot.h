#pragma once
// What is served now, and what changed when: the resources of each type, each serialised once and shared by every response that carries it.
//
// Every change of what is derived makes one new epoch. A resource remembers the epoch in which it became what it is; what was removed is remembered
// as long as a stream needs it. So a subscriber is one number, the epoch it has been sent, and its next push is what stands after that number:
// no copy of the world per stream, and whatever happened meanwhile is in one push.
// Versions are hashes of the content: the same object has the same version after a restart and on every replica.
// On the control thread.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/derive/deriver.h"

namespace culvert::controlplane {

using Epoch = std::uint64_t;

enum class Type : std::uint8_t { kAddress, kWorkload, kAuthorization };
inline constexpr std::size_t kTypes = 3;
std::string_view type_url(Type type);
std::string_view short_name(Type type);  // as istioctl calls it: "WDS", "WADS"

struct Resource {
  Epoch epoch = 0;                             // since when it is what it is
  std::string version;                         // 16 hex digits
  std::shared_ptr<const std::string> encoded;  // as a field of a response (xds::encode_resource)
};

// All resources of one type.
class Table {
 public:
  const std::map<std::string, Resource, std::less<>>& resources() const { return resources_; }
  const Resource* find(std::string_view name) const;

  // In order of epoch: what changed after `epoch`, each name once. `resource` is null for what was removed.
  using Visit = std::function<void(const std::string& name, const Resource* resource)>;
  void after(Epoch epoch, const Visit& visit) const;
  // The epoch of the newest put and of the newest removal.
  Epoch newest_put() const { return newest_put_; }
  Epoch newest_removal() const { return newest_removal_; }

  // False when `name` has this content already.
  bool put(const std::string& name, std::string_view type_url, std::string value, Epoch epoch);
  bool remove(const std::string& name, Epoch epoch);
  // Forgets removals up to `epoch`: every stream has been told.
  void forget_removals(Epoch epoch);

 private:
  void log(const std::string& name, Epoch epoch, bool removed);

  std::map<std::string, Resource, std::less<>> resources_;
  std::map<std::pair<Epoch, std::string>, bool> log_;  // one entry a name; true: it is gone
  std::map<std::string, Epoch, std::less<>> removed_;  // names that are gone, while somebody may not know
  Epoch newest_put_ = 0;
  Epoch newest_removal_ = 0;
};

class Snapshot {
 public:
  Epoch epoch() const { return epoch_; }
  const Table& table(Type type) const { return tables_[static_cast<std::size_t>(type)]; }

  // Takes what came out different. A new epoch, unless the bytes are the same as before; says which.
  bool apply(const derive::Delta& delta);
  void forget_removals(Epoch epoch);

 private:
  Table& at(Type type) { return tables_[static_cast<std::size_t>(type)]; }

  Epoch epoch_ = 0;
  Table tables_[kTypes];
};

// XXH64 of the bytes as 16 hex digits, which is how Istio names versions.
std::string content_version(std::string_view bytes);

}  // namespace culvert::controlplane
