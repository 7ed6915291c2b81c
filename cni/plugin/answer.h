#pragma once
// What the plugin answers the runtime: whom it asks, and what it makes of what it hears. Pure.
//
// A pod starts when the node agent says that it is in the mesh, or that it is none of it. When nobody can be asked, it does not start:
// whether it belongs depends on labels that the plugin cannot see. Two exceptions, both of which the plugin knows by itself: namespaces that
// the agent never enrols from (kube-system: the node cannot come up without them), and the pods that the mesh is made of.

#include <optional>
#include <string>

#include "cni/ask/messages.h"
#include "cni/plugin/call.h"
#include "common/base/result.h"

namespace culvert::plugin {

// What is to be asked; none when the call is answered without (conclude with kOutside).
std::optional<ask::Question> question_of(const Call& call);

// What the process prints and how it ends.
struct Outcome {
  int exit_code = 0;
  std::string output = {};

  friend bool operator==(const Outcome&, const Outcome&) = default;
};

Outcome conclude(const Call& call, const Result<ask::Answer>& answer);
Outcome refused(const Failure& failure);

}  // namespace culvert::plugin
