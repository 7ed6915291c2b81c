#include "controlplane/store/store.h"

#include "common/base/hash.h"
#include "common/base/log.h"

namespace culvert::controlplane {

using config::Change;

namespace {

// As istiod counts them: objects of the core by one name, all others by another.
std::string_view registry_name(config::Kind kind) {
  switch (kind) {
    case config::Kind::kNode: return "Nodes";
    case config::Kind::kPod: return "Pods";
    case config::Kind::kService: return "Services";
    case config::Kind::kEndpointSlice: return "EndpointSlice";
    case config::Kind::kNamespace: return "Namespaces";
    case config::Kind::kServiceAccount: return "ServiceAccounts";
    default: return "";
  }
}

std::string_view event_name(Change::What what, bool known) {
  switch (what) {
    case Change::What::kPut: return known ? "update" : "add";
    case Change::What::kDelete: return "delete";
    case Change::What::kInvalid: return "invalid";
  }
  return "?";
}

std::uint64_t hash_of(const config::Key& key) { return keyed_hash(own_hash_key(), key.text()); }

}  // namespace

Store::Store(telemetry::Registry& registry, derive::Settings settings)
    : registry_(registry),
      problems_(registry.counter("culvert_config_problems_total", "Mistakes found in configuration objects.")),
      discovery_(std::move(settings)) {
  registry_.observe("culvert_config_objects", "Objects in force.", telemetry::Kind::kGauge,
                    [this] { return static_cast<double>(objects().size()); });
  registry_.observe("culvert_config_invalid_objects", "Objects whose newest version cannot be read.", telemetry::Kind::kGauge,
                    [this] { return static_cast<double>(objects().invalid().size()); });
  registry_.observe("culvert_config_left_out_objects", "Objects of namespaces that meshConfig.discoverySelectors do not select.",
                    telemetry::Kind::kGauge, [this] { return static_cast<double>(discovery_.others().size()); });
  registry_.observe("culvert_config_unenforced_objects", "Valid objects that this version does not enforce yet.",
                    telemetry::Kind::kGauge, [this] { return static_cast<double>(told_.size()); });
}

std::vector<config::Key> Store::apply(const config::Diff& diff) {
  std::vector<config::Key> keys;
  for (const Change& change : diff.changes) {
    if (take(change)) keys.push_back(change.key);
  }
  say(diff);
  const std::vector<config::Key> moved = discovery_.settle();
  if (!moved.empty()) {
    log::info("config", "namespaces have come into the mesh or left it",
              {log::field("objects", moved.size()), log::field("left_out", discovery_.others().size())});
    keys.insert(keys.end(), moved.begin(), moved.end());
  }
  return keys;
}

bool Store::take(const Change& change) {
  const std::uint64_t hash = hash_of(change.key);
  const std::string_view event = event_name(change.what, known_.contains(hash));
  const std::string_view core = registry_name(change.key.kind);
  registry_
      .counter(core.empty() ? "pilot_k8s_cfg_events" : "pilot_k8s_reg_events", "Events from the source of configuration.",
               {{"type", std::string(core.empty() ? config::name(change.key.kind) : core)}, {"event", std::string(event)}})
      .add();
  const bool news = change.what != Change::What::kPut || !is_held(change);
  switch (change.what) {
    case Change::What::kPut: {
      discovery_.put(change.key, change.object);
      Known& known = known_[hash];
      known.file = files_.take(change.place.file, [&] { return change.place.file; });
      known.line = change.place.line;
      gone_.erase(change.key);
      broken_.erase(change.key);
      break;
    }
    case Change::What::kDelete:
      discovery_.erase(change.key);
      if (known_.erase(hash) > 0) {
        gone_[change.key] = 0;
        gone_order_.push_back(change.key);
      }
      broken_.erase(change.key);
      break;
    case Change::What::kInvalid:
      discovery_.invalidate(change.key);
      known_.try_emplace(hash);
      gone_.erase(change.key);
      broken_[change.key] = {.place = change.place.text(), .why = ""};
      break;
  }
  log::debug("store", event, {log::field("object", change.key.text()), log::field("place", change.place.text())});
  return news;
}

// Only what an API server keeps beside it has changed: its status, or who manages which field.
bool Store::is_held(const Change& change) const {
  const derive::Objects& among = discovery_.holding(change.key.name_space);
  const auto& names = among.in(change.key.kind, change.key.name_space);
  const auto held = names.find(change.key.name);
  return held != names.end() && !among.invalid().contains(change.key) && *held->second == *change.object;
}

void Store::say(const config::Diff& diff) {
  std::map<std::string, const config::Problem*> first;
  for (const config::Problem& problem : diff.problems) {
    problems_.add();
    first.emplace(problem.object, &problem);
    log::error("config", problem.text());
  }
  for (const Change& change : diff.changes) {
    if (change.what != Change::What::kInvalid) continue;
    if (const auto why = first.find(change.key.text()); why != first.end()) broken_[change.key].why = why->second->text();
    const bool held =
        discovery_.holding(change.key.name_space).in(change.key.kind, change.key.name_space).contains(change.key.name);
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

void Store::served(const std::vector<config::Key>& keys, std::uint64_t epoch) {
  for (const config::Key& key : keys) {
    if (const auto known = known_.find(hash_of(key)); known != known_.end()) known->second.epoch = epoch;
    else if (const auto gone = gone_.find(key); gone != gone_.end()) gone->second = epoch;
  }
  for (; gone_order_.size() > kMostGone; gone_order_.pop_front()) gone_.erase(gone_order_.front());
}

std::optional<Store::Last> Store::last_change(const config::Key& key) const {
  if (const auto known = known_.find(hash_of(key)); known != known_.end())
    return Last{broken_.contains(key) ? Last::What::kInvalid : Last::What::kPut, known->second.epoch};
  if (const auto gone = gone_.find(key); gone != gone_.end()) return Last{Last::What::kDeleted, gone->second};
  return std::nullopt;
}

std::string Store::place_of(const config::Key& key) const {
  const auto found = known_.find(hash_of(key));
  return found == known_.end() ? "" : config::Place{found->second.file, found->second.line}.text();
}

}  // namespace culvert::controlplane
