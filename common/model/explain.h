#pragma once
// What would become of a connection: every way that it may take, and at the end of each what the far end would say. From the functions that
// decide it in the data plane (plan.h, admit.h), asked one after the other. Pure.

#include <optional>
#include <string>
#include <vector>

#include "common/model/admit.h"
#include "common/model/plan.h"

namespace culvert::model {

// One way: to one endpoint, or out of the mesh.
struct Route {
  Result<Plan> plan;  // or why there is no way at all: then there is but this one
  // At the far end, when a ztunnel judges there; none when there is no proxy of the mesh, or it cannot be known.
  std::optional<Verdict> verdict = {};
  Peer peer = {};                       // the client, as the far end sees it
  Endpoint arrives = {};                // where it ends: the application's own address and port
  Error refused = {"", Reason::kNone};  // why it does not get that far; kNone when it does

  bool allowed() const { return plan && refused.reason == Reason::kNone && (!verdict || verdict->allowed); }
  // "denied by policy shop/deny-all, rule 1: (ports [80])"; why it is refused; "nobody of the mesh judges it".
  std::string text() const;
};

// Of a connection that an application in `source` opens to `destination`. A source that is not in the mesh is connected by the kernel, and
// proves nothing. Never empty.
std::vector<Route> explain(const Mesh& mesh, const Workload& source, const Endpoint& destination);

}  // namespace culvert::model
