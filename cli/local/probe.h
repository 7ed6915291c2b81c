#pragma once
// A container's readiness probe, run as a process of its own for as long as its pod lives: in the node's network namespace and in the cgroup of
// the node's "kubelet", as a kubelet would.

#include "cli/local/layout.h"
#include "cli/local/spawn.h"

namespace culvert::local {

// The verdict over time: thresholds of Kubernetes.
class Verdict {
 public:
  Verdict(int successes, int failures) : successes_(successes), failures_(failures) {}
  // Counts one attempt; true when the verdict changed.
  bool count(bool success);
  bool ready() const { return ready_; }

 private:
  int successes_, failures_, row_ = 0;
  bool last_ = false, ready_ = false;
};

// For a freshly forked child that is already where a kubelet would be. Tries until it is killed, and writes "1" or "0" to `out` when the verdict
// changes. Until the first success it tries five times a second, whatever the period: nobody likes to wait.
[[noreturn]] void probe_forever(const config::Probe& probe, const PodPlan& pod, const config::Container& container,
                                const Place& inside, const std::map<std::string, std::string>& environment, int out);

}  // namespace culvert::local
