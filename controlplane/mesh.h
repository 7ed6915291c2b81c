#pragma once
// The chain from objects to what is served: store, derive, snapshot, xDS. One call a change, on the control thread; no timers.

#include <functional>
#include <utility>
#include <vector>

#include "common/config/folder.h"
#include "common/derive/deriver.h"
#include "common/telemetry/registry.h"
#include "controlplane/snapshot/snapshot.h"
#include "controlplane/store/store.h"

namespace culvert::controlplane {

class Mesh {
 public:
  Mesh(derive::Settings settings, telemetry::Registry& registry);

  // Takes one step of a source. True when there is a new epoch to publish.
  bool apply(const config::Diff& diff);
  // The CA's root names a trust domain, or none (empty) and any will do. True when there is a new epoch to publish.
  bool sign_for(std::string root_trust_domain);
  // Told the objects whose doubts (derive::doubts) come out different, before apply() or sign_for() returns.
  void on_doubts(std::function<void(const std::vector<config::Key>& objects)> doubted) { doubted_ = std::move(doubted); }
  void forget_removals(Epoch epoch) { snapshot_.forget_removals(epoch); }

  const Store& store() const { return store_; }
  const derive::Deriver& deriver() const { return deriver_; }
  const Snapshot& snapshot() const { return snapshot_; }

 private:
  bool take(const derive::Delta& delta);

  telemetry::Counter& updates_;
  telemetry::Counter& pushes_;
  Store store_;
  Snapshot snapshot_;
  std::size_t workloads_ = 0;  // that came out different in this step
  derive::Deriver deriver_;
  std::function<void(const std::vector<config::Key>& objects)> doubted_;
};

}  // namespace culvert::controlplane
