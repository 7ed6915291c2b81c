#pragma once
// What the agent shows over HTTP: /metrics for Prometheus; /readyz and /healthz for the kubelet; /pods, /settings and /logging for people.

#include <memory>

#include "cni/agent/node.h"
#include "cni/agent/settings.h"
#include "common/net/loop.h"
#include "common/telemetry/registry.h"

namespace culvert::agent {

class Pages {
 public:
  // Listens at once. All of them outlive the pages.
  static Result<Pages> open(net::Loop& loop, const Node& node, const Settings& settings, const settings::Table& table,
                            telemetry::Registry& registry);
  Pages(Pages&&) noexcept;
  Pages& operator=(Pages&&) noexcept;
  ~Pages();

 private:
  struct State;
  explicit Pages(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace culvert::agent
