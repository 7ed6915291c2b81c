#include "controlplane/mesh.h"

#include <utility>
#include <vector>

#include "common/base/log.h"

namespace culvert::controlplane {

Mesh::Mesh(derive::Settings settings, telemetry::Registry& registry)
    : updates_(registry.counter("pilot_inbound_updates", "Changes of objects that came in.", {{"type", "config"}})),
      pushes_(registry.counter("pilot_push_triggers", "Changes that made a new epoch.", {{"type", "config"}})),
      store_(registry, settings),
      deriver_(std::move(settings), [this](const model::Workload& workload) {
        ++workloads_;
        snapshot_.put(workload);
      }) {
  using telemetry::Kind;
  registry.observe("culvert_epoch", "Version of what is served; grows with every change.", Kind::kGauge,
                   [this] { return static_cast<double>(snapshot_.epoch()); });
  registry.observe("pilot_services", "Services known.", Kind::kGauge,
                   [this] { return static_cast<double>(deriver_.services().size()); });
  registry.observe("culvert_config_warnings", "What is legal in the configuration and probably not meant.", Kind::kGauge,
                   [this] { return static_cast<double>(deriver_.warnings().size()); });
  for (const Type type : {Type::kAddress, Type::kAuthorization}) {
    registry.observe("culvert_resources", "Resources served, by type.", Kind::kGauge,
                     [this, type] { return static_cast<double>(snapshot_.table(type).resources().size()); },
                     {{"type", std::string(short_name(type))}});
  }
}

bool Mesh::apply(const config::Diff& diff) {
  updates_.add(diff.changes.size());
  const std::vector<config::Key> keys = store_.apply(diff);
  const bool changed = take(deriver_.update(store_.objects(), keys));
  store_.served(keys, snapshot_.epoch());
  return changed;
}

bool Mesh::sign_for(std::string root_trust_domain) {
  return take(deriver_.sign_for(store_.objects(), std::move(root_trust_domain)));
}

bool Mesh::take(const derive::Delta& delta) {
  for (const derive::Warning& warning : delta.warnings) {
    const std::string place = store_.place_of(warning.object);
    log::warn("config", (place.empty() ? "" : place + ": ") + warning.object.text() + ": " + warning.text);
  }
  if (doubted_ && !delta.doubted.empty()) doubted_(delta.doubted);
  const std::size_t workloads = std::exchange(workloads_, 0);
  if (!snapshot_.apply(delta)) return false;
  pushes_.add();
  log::info("config", "new epoch",
            {log::field("epoch", snapshot_.epoch()), log::field("workloads", workloads),
             log::field("services", delta.services.size()), log::field("policies", delta.policies.size()),
             log::field("removed", delta.removed_addresses.size() + delta.removed_policies.size())});
  return true;
}

}  // namespace culvert::controlplane
