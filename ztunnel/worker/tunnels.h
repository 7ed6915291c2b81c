#pragma once
// The inbound tunnels of one worker whose peers have proven who they are. Each costs memory even when nothing is on it, so there is a bound
// for each identity that reaches a pod, which leaves room for others, and one for all. From three quarters of a bound on, the oldest tunnel
// without streams is drained for each that comes: its peer makes another one when it needs it. At the bound, what comes has no place.
// One thread: the worker's.

#include <cstddef>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "common/base/identity.h"
#include "common/hbone/server.h"

namespace culvert::ztunnel {

struct Pod;

class Tunnels {
  struct Entry;

 public:
  struct Limits {
    std::size_t of_peer;  // of one identity, to one pod
    std::size_t of_all;
  };
  explicit Tunnels(Limits limits) : limits_(limits) {}
  Tunnels(const Tunnels&) = delete;

  // One of them, while it lives; not beyond the Tunnels.
  class Place {
   public:
    Place(Place&& other) noexcept : all_(std::exchange(other.all_, nullptr)), entry_(other.entry_) {}
    Place& operator=(Place&& other) noexcept {
      std::swap(all_, other.all_);
      std::swap(entry_, other.entry_);
      return *this;
    }
    ~Place() {
      if (all_ != nullptr) all_->leave(entry_);
    }

   private:
    friend class Tunnels;
    Place(Tunnels& all, std::list<Entry>::iterator entry) : all_(&all), entry_(entry) {}
    Tunnels* all_;
    std::list<Entry>::iterator entry_;
  };

  // Nothing when a bound is reached.
  std::optional<Place> enter(const Pod& pod, const Identity& peer, std::shared_ptr<hbone::ServerControl> control);
  std::size_t size() const { return entries_.size(); }

 private:
  using Group = std::pair<const Pod*, Identity>;
  struct Entry {
    std::map<Group, std::size_t>::iterator group;  // how many it has
    std::shared_ptr<hbone::ServerControl> control;
  };
  void drain_idle(const Group* of);  // null: of any
  void leave(std::list<Entry>::iterator entry);

  const Limits limits_;
  std::list<Entry> entries_;  // the oldest first
  std::map<Group, std::size_t> groups_;
};

}  // namespace culvert::ztunnel
