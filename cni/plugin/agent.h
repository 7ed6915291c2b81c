#pragma once
// Asking the node agent over its unix socket, from a process that does nothing else: blocking, with a limit on everything.

#include <chrono>
#include <string>

#include "cni/ask/messages.h"
#include "common/base/fd.h"
#include "common/base/result.h"

namespace culvert::plugin {

struct Patience {
  std::chrono::milliseconds connect{0};  // how long a socket that nobody listens on is tried again: the agent may be restarting
  std::chrono::milliseconds answer{0};
};

// `netns` is the pod's network namespace, which goes along; none when it holds none.
Result<ask::Answer> ask_agent(const std::string& socket, const ask::Question& question, const Fd& netns, Patience patience);

}  // namespace culvert::plugin
