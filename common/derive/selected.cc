#include "common/derive/selected.h"

#include <google/protobuf/message.h>

#include <algorithm>
#include <array>
#include <optional>

#include "common/derive/service.h"
#include "common/derive/workload.h"
#include "common/derive/workload_entry.h"
#include "proto/istio/networking/v1alpha3/service_entry.pb.h"
#include "proto/istio/networking/v1alpha3/workload_entry.pb.h"

namespace culvert::derive {
namespace {

using config::Key;
using config::Kind;

constexpr std::array kHolders = {Kind::kService, Kind::kServiceEntry, Kind::kAuthorizationPolicy, Kind::kPeerAuthentication};
constexpr std::array kWorkloads = {Kind::kPod, Kind::kWorkloadEntry, Kind::kServiceEntry};

// A ServiceEntry's endpoints are its own already: of selectors only those of policies reach them.
bool may_select(Kind holder, Kind workload) { return workload != Kind::kServiceEntry || config::is_policy(holder); }

// Calls `with` with the labels that it is selected by.
template <class With>
void labels_of(const config::Object& workload, With with) {
  const auto* custom = std::get_if<config::Custom>(&workload);
  if (custom && custom->kind == Kind::kWorkloadEntry) with(labelled(*custom).labels);
  else with(config::metadata_of(workload).labels);
}

bool has_port(const config::Object& workload, const std::string& name) {
  if (const auto* pod = std::get_if<config::Pod>(&workload)) return named_port(*pod, name) != 0;
  const auto* entry = spec_of<istio::networking::v1alpha3::WorkloadEntry>(&workload);
  return entry && entry->ports().contains(name);
}

// The ports that a Service knows by name alone.
std::set<std::string> named_targets(const config::Object* holder) {
  std::set<std::string> out;
  const auto* service = holder ? std::get_if<config::Service>(holder) : nullptr;
  if (!service) return out;
  for (const config::ServicePort* port : tcp_ports(*service))
    if (port->target.number == 0) out.insert(port->target.name);
  return out;
}

// Adds to a number or takes away. True when it was or is none.
bool step(std::size_t& number, int by) {
  const bool none = number == 0;
  number += static_cast<std::size_t>(by);
  return none || number == 0;
}

bool in_tunnel(const config::Metadata& metadata) {
  model::Workload probe;
  set_tunnel(metadata, probe);
  return probe.protocol == model::TunnelProtocol::kHbone;
}

// What a workload, or the endpoints of an entry, are to policies.
struct Part {
  int bound = 0, outside = 0;
};
Part part_of(const config::Object& workload) {
  if (const auto* pod = std::get_if<config::Pod>(&workload)) {
    if (pod->is_terminal()) return {};
    return in_tunnel(pod->metadata) ? Part{1, 0} : Part{0, 1};
  }
  const auto& custom = std::get<config::Custom>(workload);
  if (custom.kind == Kind::kWorkloadEntry) return in_tunnel(labelled(custom)) ? Part{1, 0} : Part{0, 1};
  return {in_tunnel(custom.metadata) ? static_cast<int>(endpoints_in(custom)) : 0, 0};
}

// True when there were or are no workloads.
bool step(Selected::Count& count, const Part& part, int by) {
  step(count.bound, part.bound * by);
  step(count.outside, part.outside * by);
  return step(count.workloads, by);
}

}  // namespace

void Selected::count(const Key& holder, const config::Object& workload, int by, const Objects& holders, std::set<Key>* turned) {
  Count& count = counts_[holder];
  bool turns = step(count, part_of(workload), by);
  for (const std::string& name : named_targets(object_of(holder, holders)))
    if (has_port(workload, name)) turns |= step(count.ports[name], by);
  if (count.workloads == 0) counts_.erase(holder);
  if (turns && turned) turned->insert(holder);
}

void Selected::move(const config::Object& workload, int by, const Objects& holders, const Settings& settings,
                    std::set<Key>* turned) {
  const Kind kind = config::kind_of(workload);
  if (std::ranges::find(kWorkloads, kind) == kWorkloads.end()) return;
  const std::string& own = config::metadata_of(workload).name_space;
  const Part part = part_of(workload);
  step(everywhere_, part, by);
  if (step(namespaces_[own], part, by) && by < 0) namespaces_.erase(own);
  labels_of(workload, [&](const config::Labels& labels) {
    const auto in = [&](Kind holder, const std::string& name_space) {
      for (const std::string_view name : holders.selecting(holder, name_space, labels))
        count({holder, name_space, std::string(name)}, workload, by, holders, turned);
    };
    for (const Kind holder : kHolders) {
      if (!may_select(holder, kind)) continue;
      in(holder, own);
      if (holder == Kind::kAuthorizationPolicy && own != settings.root_namespace) in(holder, settings.root_namespace);
    }
  });
}

void Selected::add(const config::Object& workload, const Objects& holders, const Settings& settings, std::set<Key>& turned) {
  move(workload, 1, holders, settings, &turned);
}

void Selected::remove(const config::Object& workload, const Objects& holders, const Settings& settings, std::set<Key>& turned) {
  move(workload, -1, holders, settings, &turned);
}

void Selected::recount(const Key& key, const Objects& holders, const Objects& workloads, const Settings& settings) {
  counts_.erase(key);
  const config::Object* holder = object_of(key, holders);
  const auto selector = holder ? selector_of(*holder) : std::nullopt;
  if (!selector || selector->empty()) return;
  const bool everywhere = key.kind == Kind::kAuthorizationPolicy && key.name_space == settings.root_namespace;
  for (const Kind kind : kWorkloads) {
    if (!may_select(key.kind, kind)) continue;
    const auto in = [&](const std::string& name_space) {
      for (const auto& [name, object] : workloads.in(kind, name_space)) {
        labels_of(*object, [&](const config::Labels& labels) {
          if (config::selects(*selector, labels)) count(key, *object, 1, holders, nullptr);
        });
      }
    };
    if (everywhere) std::ranges::for_each(workloads.namespaces(kind), in);
    else in(key.name_space);
  }
}

bool Selected::alike(const config::Object* before, const config::Object* now) {
  return before && now && selector_of(*before) == selector_of(*now) && named_targets(before) == named_targets(now);
}

namespace {

template <class Map, class Name>
const Selected::Count& count_or_none(const Map& counts, const Name& name) {
  static const Selected::Count kNone;
  const auto found = counts.find(name);
  return found == counts.end() ? kNone : found->second;
}

}  // namespace

const Selected::Count& Selected::of(const Key& holder) const { return count_or_none(counts_, holder); }

const Selected::Count& Selected::in(std::string_view name_space) const { return count_or_none(namespaces_, name_space); }

}  // namespace culvert::derive
