#pragma once
// Writes back what became of objects: the status that decide.h wants, onto those that do not say it yet. Only while we lead. On the control thread.
//
// changes --> Board (what to look at again) --every kBatch--> wanted_of --> patch_of --> PATCH .../status, with the version that it is made for
//
// No loop: a patch is made from what the status says now, and none is made when it says it; a write that comes back other than it was sent (a CRD that
// prunes it, another controller that puts its own in its place) is not repeated at once, but after a pause that grows. Of two that write at once one gets a
// 409, and looks again. Writes are few at a time and so many a second; a message that only counts anew waits longest.

#include <functional>
#include <memory>
#include <span>

#include "common/config/folder.h"
#include "common/derive/doubts.h"
#include "common/derive/objects.h"
#include "common/kube/client.h"
#include "common/kube/source/kube_source.h"
#include "common/telemetry/registry.h"

namespace culvert::controlplane {

struct StatusOptions {
  std::chrono::milliseconds batch{250};                   // changes are gathered for so long
  std::chrono::milliseconds settle{10'000};               // between two writes of one object, when only a message is another
  std::chrono::milliseconds least{1'000}, most{300'000};  // before a write that failed, or did not last, is tried again
  unsigned per_second = 50;
  unsigned at_once = 2;
  kube::ServedAs served = kube::collection_of;
  std::function<bool()> leads = [] { return true; };  // asked before each write: lead() may come late
};

class StatusWriter {
 public:
  // What it is given by reference must outlive it; settings may change. `tally`: of the objects.
  StatusWriter(kube::Client& client, const derive::Objects& objects, const derive::Settings& settings, const derive::Tally& tally,
               telemetry::Registry& registry, StatusOptions options = {});
  ~StatusWriter();
  StatusWriter(const StatusWriter&) = delete;
  StatusWriter& operator=(const StatusWriter&) = delete;

  // One step of the source of configuration, in order; also while we do not lead.
  void note(const config::Diff& diff);
  // Their doubts, which their statuses repeat, are others than before, whatever has changed.
  void doubted(std::span<const config::Key> objects);
  void lead(bool leading);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace culvert::controlplane
