#pragma once
// The pages that ztunnel shows: admin on 15000, metrics on 15020, readiness on 15021 (protocols.md §6.6, §6.7). The control loop's.

#include "common/admin/server.h"
#include "ztunnel/settings.h"

namespace culvert::ztunnel {

class App;

class Pages {
 public:
  // Both outlive it.
  Pages(App& app, const Settings& settings);
  Pages(const Pages&) = delete;

  Status start();

 private:
  const Settings& settings_;
  telemetry::Registry process_;  // what any program tells of itself
  admin::Server server_;
};

}  // namespace culvert::ztunnel
