#include "cni/agent/plan.h"

namespace culvert::agent {

std::vector<Step> plan(const Situation& situation) {
  using enum Step;
  if (!situation.enterable) return {kUnpublish, kTakeFromZtunnel, kReleaseNetns, kAwaitNetns, kWithdraw, kDetach, kForget};
  if (!situation.wanted) {
    return {kAwaitActive, kWithdraw,        kReleaseDns,   kAwaitConnects, kUnpublish, kDetach,
            kLetFinish,   kTakeFromZtunnel, kAwaitSockets, kRestore,       kForget};
  }
  const auto dns = situation.dns_capture ? kCaptureDns : kReleaseDns;
  if (situation.captured) return {kPrepare, kAddresses, kTellZtunnel, kFillSlots, kAttach, dns, kEnrol, kAwaitActive, kPublish};
  return {kPrepare, kAddresses, kTellZtunnel, kFillSlots, kAwaitActive, kAttach, dns, kEnrol, kPublish};
}

std::string_view name(Step step) {
  switch (step) {
    case Step::kPrepare: return "prepare";
    case Step::kAddresses: return "addresses";
    case Step::kTellZtunnel: return "tell_ztunnel";
    case Step::kFillSlots: return "fill_slots";
    case Step::kAttach: return "attach";
    case Step::kCaptureDns: return "capture_dns";
    case Step::kEnrol: return "enrol";
    case Step::kAwaitActive: return "await_active";
    case Step::kPublish: return "publish";
    case Step::kUnpublish: return "unpublish";
    case Step::kWithdraw: return "withdraw";
    case Step::kReleaseDns: return "release_dns";
    case Step::kAwaitConnects: return "await_connects";
    case Step::kDetach: return "detach";
    case Step::kLetFinish: return "let_finish";
    case Step::kTakeFromZtunnel: return "take_from_ztunnel";
    case Step::kAwaitSockets: return "await_sockets";
    case Step::kRestore: return "restore";
    case Step::kReleaseNetns: return "release_netns";
    case Step::kAwaitNetns: return "await_netns";
    case Step::kForget: return "forget";
  }
  return "";
}

}  // namespace culvert::agent
