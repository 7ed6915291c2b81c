#pragma once
// culvertd's pages: /metrics for everybody; /ready and /version on localhost; /debug (debug.h) for whom `may_debug` lets by, on localhost and on the
// port of the metrics.

#include <functional>
#include <vector>

#include "common/admin/server.h"
#include "common/telemetry/registry.h"
#include "controlplane/debug.h"

namespace culvert::controlplane {

struct Pages {
  const std::vector<DebugPage>& debug;
  const telemetry::Registry& registry;
  std::function<Status()> ready;  // or what is waited for
  admin::Server::Guard may_debug;

  void add_to(admin::Server& server) const;  // what this refers to must outlive the server
};

}  // namespace culvert::controlplane
