#include "common/derive/doubts.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <variant>

#include "common/base/format.h"
#include "common/derive/authorization.h"
#include "common/derive/delegate.h"
#include "common/derive/discovery.h"
#include "common/derive/mesh_config.h"
#include "common/derive/network.h"
#include "common/derive/peer_authentication.h"
#include "common/derive/service.h"
#include "common/derive/service_entry.h"
#include "common/derive/waypoint.h"
#include "common/derive/workload_entry.h"

namespace culvert::derive {
namespace {

using config::Kind;
using Texts = std::vector<std::string>;

// What is asked about: an object, and all that there is beside it.
struct Scene {
  const config::Key& key;
  const Objects& objects;
  const Objects& holders;  // where the object itself stands
  const Settings& settings;
  const Tally& tally;
  const Sharing& sharing;

  bool selects_nothing() const { return tally.selected.of(key).workloads == 0; }
};

Texts about(const config::AuthorizationPolicy& policy, const Scene& scene) {
  Converted converted = convert(policy, scene.settings);
  if (converted.policy && !policy.selector.empty() && scene.selects_nothing())
    converted.warnings.push_back("spec.selector selects no pod");
  return std::move(converted.warnings);
}

Texts about(const config::PeerAuthentication& policy, const Scene& scene) {
  const config::Metadata& metadata = policy.metadata;
  if (policy.selector.empty()) {
    const config::PeerAuthentication* first = wide_policy(scene.objects, metadata.name_space);
    if (!first || first->metadata.name == metadata.name) return {};
    return {"is not in force: " + first->metadata.name + " is for the whole namespace too, and is older or sorts first"};
  }
  if (metadata.name_space == scene.settings.root_namespace)
    return {"has a selector in the root namespace, where only policies for the whole mesh count: it is ignored"};
  return scene.selects_nothing() ? Texts{"spec.selector selects no pod"} : Texts{};
}

// Of thousands the first are named: whoever has so many knows by then. Names of other namespaces are not for everybody who guesses an address.
std::string names_of(const Sharing::Shared& shared, std::string_view name_space) {
  constexpr std::size_t kNamed = 3;
  if (shared.others.empty()) return culvert::format("more than {} others", Sharing::kMost);
  std::vector<std::string> own;
  for (const config::Key& other : shared.others)
    if (other.name_space == name_space) own.push_back(other.text());
  std::string foreign = own.size() < shared.others.size() ? "somebody in another namespace" : "";
  if (own.empty()) return foreign;
  std::string out;
  for (std::size_t i = 0; i < own.size() && i < kNamed; ++i) out += (i > 0 ? ", " : "") + own[i];
  if (shared.more) return out + " and many others";
  if (own.size() > kNamed) out += culvert::format(" and {} more", own.size() - kNamed);
  return foreign.empty() ? out : out + " and " + foreign;
}

// Legal, and any of them may be meant: which one a node takes is in model/mesh.h.
void say_shared(const config::Object& object, const Scene& scene, Texts& out) {
  for (const Sharing::Shared& shared : scene.sharing.of(object, network_of_mesh(scene.objects, scene.settings))) {
    if (shared.as == Sharing::As::kService)
      out.push_back("spec.addresses: " + shared.address.text() + " is written by " + names_of(shared, scene.key.name_space) +
                    " as well: connections to it go to one of them");
    else
      out.push_back((scene.key.kind == Kind::kPod ? "status.podIPs: " : "spec.address: ") + shared.address.text() +
                    " is the address of " + names_of(shared, scene.key.name_space) +
                    " as well: whoever has it is taken for one of them");
  }
}

Texts about(const config::Pod& pod, const Scene& scene) {
  Texts out;
  if (pod.is_terminal()) return out;
  const std::string& account = pod.spec.service_account;
  const bool there = account == "default" ||  // every namespace has that one
                     scene.objects.in(Kind::kServiceAccount, pod.metadata.name_space).contains(account);
  if (!there) out.push_back("spec.serviceAccountName: there is no ServiceAccount " + account);
  const auto network = config::value_of(pod.metadata.labels, kNetworkLabel);
  if (std::string trouble = network_trouble(network, scene.objects, scene.settings); !trouble.empty())
    out.push_back(std::move(trouble));
  const Binding binding = waypoint_of(pod.metadata, Traffic::kWorkload, scene.objects, scene.settings);
  if (binding.own && binding.waypoint) out.push_back(waypoint_text(binding));
  return out;
}

// A port by name that none of the selected workloads has leads nowhere.
Texts about(const config::Service& service, const Scene& scene) {
  Texts out;
  if (service.type == config::Service::Type::kExternalName) return out;
  const Binding binding = waypoint_of(service.metadata, Traffic::kService, scene.objects, scene.settings);
  if (binding.waypoint) out.push_back(waypoint_text(binding));
  const std::string canary = canary_of(service.metadata, binding, scene.objects, scene.settings).trouble;
  if (!canary.empty()) out.push_back(canary + ": all connections go to " + binding.waypoint->text());
  if (service.selector.empty() || scene.selects_nothing()) return out;
  const auto& ports = scene.tally.selected.of(scene.key).ports;
  std::set<std::string> missing;
  for (const config::ServicePort* port : tcp_ports(service)) {
    const auto having = ports.find(port->target.name);
    if (port->target.number == 0 && (having == ports.end() || having->second == 0)) missing.insert(port->target.name);
  }
  for (const std::string& port : missing) out.push_back("targetPort " + port + ": none of its pods has a port of that name");
  return out;
}

// Pods come and go before their slices know: only where nobody but the author fills them is a missing one worth a word.
Texts about(const config::EndpointSlice& slice, const Scene& scene) {
  using enum config::EndpointSlice::Endpoint::Target;
  const std::string& name_space = slice.metadata.name_space;
  if (slice.service.empty()) return {"has no label kubernetes.io/service-name: it belongs to no Service"};
  const auto* service = scene.objects.find<config::Service>(Kind::kService, name_space, slice.service);
  if (!service) return {"there is no Service " + slice.service};
  Texts out;
  if (!service->selector.empty()) return out;
  for (const config::EndpointSlice::Endpoint& endpoint : slice.endpoints) {
    if (endpoint.target == kNone) continue;
    if (endpoint.target == kForeignPod || !scene.objects.in(Kind::kPod, name_space).contains(endpoint.pod))
      out.push_back("targetRef: there is no Pod " + endpoint.pod + " in its namespace");
  }
  return out;
}

// Whatever it writes, pods and Services keep the addresses that the cluster gave them.
void say_covered(const config::Custom& entry, const Scene& scene, Texts& out) {
  for (const Cidr& range : written_addresses(entry)) {
    const auto others = scene.tally.covered.of(range, entry.metadata.name_space);
    if (others.pods)
      out.push_back("spec.addresses: " + range.text() +
                    " covers pods of other namespaces: connections to their addresses go to them");
    if (others.services)
      out.push_back("spec.addresses: " + range.text() +
                    " covers Services of other namespaces: connections to their addresses go to them" +
                    (is_host(range) ? ", but for those from this namespace" : ""));
  }
}

Texts about(const config::Custom& custom, const Scene& scene) {
  switch (custom.kind) {
    case Kind::kGateway: {
      Texts out = waypoint_doubts(custom, scene.objects, scene.settings);
      std::ranges::move(network_doubts(custom), std::back_inserter(out));
      return out;
    }
    case Kind::kWorkloadEntry: return workload_entry_doubts(custom, scene.objects, scene.settings);
    case Kind::kVirtualService: return delegate_doubts(custom, scene.objects);
    case Kind::kServiceEntry: break;
    default: return {};
  }
  Texts out = entry_doubts(custom, scene.objects, scene.settings);
  say_covered(custom, scene, out);
  std::ranges::move(endpoint_doubts(custom, scene.objects, scene.settings), std::back_inserter(out));
  if (!scene.holders.wide(Kind::kServiceEntry, scene.key.name_space).contains(scene.key.name) && scene.selects_nothing())
    out.push_back("spec.workloadSelector selects no pod or WorkloadEntry");
  return out;
}

Texts about(const config::ConfigMap&, const Scene& scene) {
  if (scene.key != mesh_config_key(scene.settings)) return {};
  MeshConfigured read = with_mesh_config(scene.settings, scene.objects);
  std::ranges::move(read.doubts, std::back_inserter(read.problems));
  return std::move(read.problems);
}

// Its pods are captured, and nobody tells the proxy who they are.
Texts about(const config::Namespace& name_space, const Scene& scene) {
  if (is_in_mesh(name_space.metadata.name, scene.objects, scene.settings)) return {};
  if (config::value_of(name_space.metadata.labels, "istio.io/dataplane-mode") != "ambient") return {};
  return {
      "is labelled istio.io/dataplane-mode: ambient, and meshConfig.discoverySelectors do not select it: its pods are captured, "
      "and their connections are refused"};
}

// Of an object of a namespace that is not in the mesh.
Texts outside() { return {"meshConfig.discoverySelectors do not select its namespace: nothing of it is in force"}; }

template <class T>
Texts about(const T&, const Scene&) {
  return {};
}

Texts all_about(const config::Object& object, const Scene& scene) {
  Texts out = std::visit([&](const auto& value) { return about(value, scene); }, object);
  say_shared(object, scene, out);
  return out;
}

}  // namespace

std::vector<std::string> doubts(const config::Key& key, const Objects& objects, const Settings& settings, const Tally& tally) {
  const config::Object* object = object_of(key, objects);
  return object ? all_about(*object, {key, objects, objects, settings, tally, tally.sharing}) : Texts{};
}

std::vector<std::string> doubts(const config::Key& key, const Objects& objects, const Settings& settings) {
  Tally tally{.selected = {}, .covered = {}, .sharing = Sharing(objects)};
  tally.selected.recount(key, objects, objects, settings);
  if (const config::Object* object = object_of(key, objects)) tally.covered.look(*object, objects);
  return doubts(key, objects, settings, tally);
}

std::vector<std::string> doubts(const config::Object& object, const Objects& objects, const Settings& settings,
                                const Sharing& sharing) {
  const config::Key key = config::key_of(object);
  Objects alone;
  alone.put(key, config::ObjectPtr(config::ObjectPtr(), &object));  // not owned
  Tally tally;
  if (!is_in_mesh(key.name_space, objects, settings)) return outside();
  tally.selected.recount(key, alone, objects, settings);
  tally.covered.look(object, objects);
  return all_about(object, {key, objects, alone, settings, tally, sharing});
}

}  // namespace culvert::derive
