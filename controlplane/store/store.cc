#include "controlplane/store/store.h"

#include "common/base/log.h"

namespace culvert::controlplane {

using config::Change;

namespace {

std::string_view name(Change::What what) {
  switch (what) {
    case Change::What::kPut: return "put";
    case Change::What::kDelete: return "delete";
    case Change::What::kInvalid: return "invalid";
  }
  return "?";
}

}  // namespace

Store::Store(telemetry::Registry& registry)
    : registry_(registry),
      problems_(registry.counter("culvert_config_problems_total", "Mistakes found in configuration objects.")) {
  registry_.observe("culvert_config_objects", "Objects in force.", telemetry::Kind::kGauge,
                    [this] { return static_cast<double>(objects_.size()); });
  registry_.observe("culvert_config_invalid_objects", "Objects whose newest version cannot be read.", telemetry::Kind::kGauge,
                    [this] { return static_cast<double>(objects_.invalid().size()); });
  registry_.observe("culvert_config_unenforced_objects", "Valid objects that this version does not enforce yet.",
                    telemetry::Kind::kGauge, [this] { return static_cast<double>(told_.size()); });
}

std::vector<config::Key> Store::apply(config::Diff diff) {
  std::vector<config::Key> keys;
  for (const Change& change : diff.changes) {
    take(change);
    keys.push_back(change.key);
  }
  say(diff);
  return keys;
}

void Store::take(const Change& change) {
  registry_
      .counter("pilot_k8s_cfg_events", "Events from the source of configuration.",
               {{"type", std::string(config::name(change.key.kind))}, {"event", std::string(name(change.what))}})
      .add();
  switch (change.what) {
    case Change::What::kPut:
      objects_.put(change.key, change.object);
      places_[change.key] = change.place;
      broken_.erase(change.key);
      break;
    case Change::What::kDelete:
      objects_.erase(change.key);
      places_.erase(change.key);
      broken_.erase(change.key);
      break;
    case Change::What::kInvalid:
      objects_.invalidate(change.key);
      broken_[change.key] = change.place.text();
      break;
  }
  log::debug("store", name(change.what), {log::field("object", change.key.text()), log::field("place", change.place.text())});
}

void Store::say(const config::Diff& diff) {
  for (const config::Problem& problem : diff.problems) {
    problems_.add();
    log::error("config", problem.text());
  }
  for (const Change& change : diff.changes) {
    if (change.what != Change::What::kInvalid) continue;
    const bool held = objects_.in(change.key.kind, change.key.name_space).contains(change.key.name);
    if (held) {
      log::error("config", change.key.text() + ": the last good version stays in force");
    } else if (config::is_policy(change.key.kind)) {
      const std::string where =
          change.key.name_space.empty() ? "the whole mesh, since its namespace cannot be read either," : "its namespace";
      log::error("config", change.key.text() + ": cannot be read and there is no good version of it: inbound connections of " +
                               where + " are DENIED (policy_invalid) until it is corrected or removed");
    } else {
      log::error("config", change.key.text() + ": cannot be read and is left out");
    }
  }
  for (const Change& change : diff.changes) {
    if (change.what == Change::What::kDelete) told_.erase(change.key);
    if (change.what != Change::What::kPut || derive::derives_from(change.key.kind) || !told_.insert(change.key).second) continue;
    log::warn("config", change.place.text() + ": " + change.key.text() + " is valid and not enforced by this version yet");
  }
  for (const std::string& note : diff.notes) log::info("config", note);
  for (const config::Ignored& ignored : diff.ignored) {
    log::info("config", ignored.text());
  }
}

std::string Store::place_of(const config::Key& key) const {
  const auto found = places_.find(key);
  return found == places_.end() ? "" : found->second.text();
}

}  // namespace culvert::controlplane
