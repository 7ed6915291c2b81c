#pragma once
// The order in which a pod enters and leaves the mesh (datapath.md §1.2). Every step may be repeated, so a plan is always
// walked from its beginning: after a failure, after a change of mind, and by an agent that has just started.

#include <cstdint>
#include <string_view>
#include <vector>

namespace culvert::agent {

enum class Step : std::uint8_t {
  // In.
  kPrepare,      // sysctls, rules and routes in the pod's namespace; they capture nothing yet
  kAddresses,    // the namespace's addresses into the kernel's map, and kept current from now on
  kTellZtunnel,  // ZDS Add, until a ztunnel has acknowledged it: its listeners are open
  kFillSlots,    // the kernel knows these listeners
  kAttach,       // what others send to the pod goes to ztunnel
  kCaptureDns,   // DNS queries of the pod go to ztunnel
  kEnrol,        // what the pod's applications dial goes to ztunnel
  kAwaitActive,  // the programs of this agent's version are in force: they wait for what a predecessor captures, and come before what is new
  kPublish,  // annotation: enabled
  // Out.
  kWithdraw,         // no new outbound capture
  kReleaseDns,       // DNS goes out by itself
  kAwaitConnects,    // until whoever dialled a moment before is with ztunnel: once detached, nobody would answer him
  kUnpublish,        // annotation away: the control plane sends others here in plaintext again
  kDetach,           // no steering of what arrives
  kLetFinish,        // a moment for what runs through ztunnel to end by itself
  kTakeFromZtunnel,  // ZDS Del, until it is acknowledged: what still ran has ended
  kAwaitSockets,     // until no marked socket is left, or patience is over
  kRestore,          // sysctls, rules and routes as they were
  kReleaseNetns,     // our descriptor of the namespace closed, so that it can end
  kAwaitNetns,       // until the kernel has ended the namespace: whatever still runs inside stays captured, and refused
  kForget,           // no trace in the kernel's maps
};
std::string_view name(Step step);  // "tell_ztunnel"

struct Situation {
  bool wanted = false;    // to be in the mesh
  bool captured = false;  // the kernel captures it already
  bool enterable = true;  // the pod's object is there and its namespace can be entered; processes may live in it although not
  bool dns_capture = false;
};

std::vector<Step> plan(const Situation& situation);

}  // namespace culvert::agent
