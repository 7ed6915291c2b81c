#pragma once
// culvertd's pages: /metrics for everybody; /ready and /debug on localhost only.

#include <functional>

#include "common/admin/server.h"
#include "common/telemetry/registry.h"
#include "controlplane/mesh.h"
#include "controlplane/settings.h"
#include "controlplane/xds/service.h"

namespace culvert::controlplane {

struct Pages {
  const Mesh& mesh;
  const XdsService& xds;
  const settings::Table& settings;
  const telemetry::Registry& registry;
  std::function<Status()> ready;  // or what is waited for

  void add_to(admin::Server& server) const;  // what this refers to must outlive the server
};

}  // namespace culvert::controlplane
