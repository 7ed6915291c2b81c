#include "common/derive/workload.h"

#include <algorithm>
#include <initializer_list>
#include <iterator>
#include <utility>

#include "common/derive/authorization.h"
#include "common/derive/network.h"
#include "common/derive/peer_authentication.h"
#include "common/derive/service.h"
#include "common/derive/waypoint.h"
#include "common/derive/workload_entry.h"

namespace culvert::derive {
namespace {

using config::Kind;
using config::Labels;
using config::value_of;

std::string first_of(const Labels& labels, std::initializer_list<std::string_view> names, std::string_view fallback) {
  for (const std::string_view name : names) {
    if (const auto value = value_of(labels, name); !value.empty()) return std::string(value);
  }
  return std::string(fallback);
}

// "nightly-29301120" -> "nightly": how CronJobs name their Jobs, a time in minutes.
std::string cron_job_of(const std::string& job) {
  const std::size_t dash = job.rfind('-');
  if (dash == std::string::npos || dash == 0) return job;
  const std::string_view digits = std::string_view(job).substr(dash + 1);
  const bool time =
      digits.size() >= 8 && digits.size() <= 10 && std::ranges::all_of(digits, [](char c) { return c >= '0' && c <= '9'; });
  return time ? job.substr(0, dash) : job;
}

std::string network_of(const config::Pod& pod, const Objects& objects, const Settings& settings) {
  if (const auto own = value_of(pod.metadata.labels, kNetworkLabel); !own.empty()) return std::string(own);
  return std::string(network_of_mesh(objects, settings));
}

model::PortMap ports_on(const config::Pod& pod, const config::Service& service) {
  model::PortMap out;
  for (const config::ServicePort* port : tcp_ports(service)) {
    const std::uint16_t target = port->target.number != 0 ? port->target.number : named_port(pod, port->target.name);
    if (target != 0) out[port->port] = target;
  }
  return out;
}

model::PortMap ports_on(const config::EndpointSlice& slice, const config::Service& service) {
  model::PortMap out;
  for (const config::ServicePort* port : tcp_ports(service)) {
    for (const config::EndpointSlice::Port& there : slice.ports) {
      if (there.name == port->name && there.transport == config::Transport::kTcp && there.port != 0) out[port->port] = there.port;
    }
  }
  return out;
}

bool has_endpoints(const config::Service& service) { return service.type != config::Service::Type::kExternalName; }

bool is_this_pod(const config::EndpointSlice::Endpoint& endpoint, const config::EndpointSlice& slice, const config::Pod& pod) {
  using enum config::EndpointSlice::Endpoint::Target;
  return endpoint.target == kPod && endpoint.pod == pod.metadata.name && slice.metadata.name_space == pod.metadata.name_space;
}

PortsByName ports_of(const config::Pod& pod) {
  PortsByName out;
  for (const config::Container& container : pod.spec.containers) {
    for (const config::ContainerPort& port : container.ports) {
      if (port.transport == config::Transport::kTcp) out.try_emplace(port.name, port.port);
    }
  }
  return out;
}

// By selector; and for services without one, by EndpointSlices that name the pod.
std::map<std::string, model::PortMap> services_of(const config::Pod& pod, const Objects& objects, const Settings& settings) {
  std::map<std::string, model::PortMap> out;
  const std::string& name_space = pod.metadata.name_space;
  const auto key = [&](const config::Service& service) { return name_space + "/" + hostname_of(service.metadata, settings); };
  for (const std::string_view name : objects.selecting(Kind::kService, name_space, pod.metadata.labels)) {
    const auto& service = *objects.find<config::Service>(Kind::kService, name_space, name);
    if (has_endpoints(service)) out[key(service)] = ports_on(pod, service);
  }
  for (const std::string& name : objects.wide(Kind::kService, name_space)) {
    const auto& service = *objects.find<config::Service>(Kind::kService, name_space, name);
    if (!has_endpoints(service)) continue;
    for (const std::string& slice_name : objects.slices_of(name_space, name)) {
      const auto& slice = *objects.find<config::EndpointSlice>(Kind::kEndpointSlice, name_space, slice_name);
      const bool here =
          std::ranges::any_of(slice.endpoints, [&](const auto& endpoint) { return is_this_pod(endpoint, slice, pod); });
      if (here) out[key(service)].merge(ports_on(slice, service));
    }
  }
  if (!objects.in(Kind::kServiceEntry, name_space).empty()) add_entries(pod.metadata, ports_of(pod), objects, settings, out);
  return out;
}

}  // namespace

void set_tunnel(const config::Metadata& metadata, model::Workload& out) {
  const bool native = value_of(metadata.labels, "networking.istio.io/tunnel") == "http";
  const bool captured = value_of(metadata.annotations, "ambient.istio.io/redirection") == "enabled";
  if (native || captured) out.protocol = model::TunnelProtocol::kHbone;
  out.native_tunnel = native;
}

void set_canonical(const config::Metadata& metadata, model::Workload& out) {
  out.canonical_name =
      first_of(metadata.labels, {"service.istio.io/canonical-name", "app.kubernetes.io/name", "app"}, out.workload_name);
  out.canonical_revision =
      first_of(metadata.labels, {"service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"}, "latest");
}

std::vector<std::string> policies_of(const config::Metadata& metadata, const Objects& objects, const Settings& settings) {
  std::vector<std::string> out = selecting_policies(metadata, objects, settings);
  std::ranges::move(peer_authentication_policies(metadata, objects, settings), std::back_inserter(out));
  return out;
}

model::Locality locality_of(const config::Node& node) {
  const Labels& labels = node.metadata.labels;
  return {.region = first_of(labels, {"topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"}, ""),
          .zone = first_of(labels, {"topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"}, ""),
          .subzone = std::string(value_of(labels, "topology.istio.io/subzone"))};
}

std::uint16_t named_port(const config::Pod& pod, std::string_view name) {
  for (const config::Container& container : pod.spec.containers) {
    for (const config::ContainerPort& port : container.ports) {
      if (port.name == name && port.transport == config::Transport::kTcp) return port.port;
    }
  }
  return 0;
}

std::string pod_uid(std::string_view name_space, std::string_view name, const Settings& settings) {
  std::string out = settings.cluster_id;
  return out.append("//Pod/").append(name_space).append("/").append(name);
}

std::string workload_name(const config::Pod& pod) {
  const Labels& labels = pod.metadata.labels;
  if (const auto label = value_of(labels, "service.istio.io/workload-name"); !label.empty()) return std::string(label);
  const auto owner = std::ranges::find_if(pod.metadata.owners, [](const config::OwnerReference& one) { return one.controller; });
  if (owner == pod.metadata.owners.end()) return pod.metadata.name;
  if (owner->kind == "ReplicaSet") {
    const std::string hash = "-" + std::string(value_of(labels, "pod-template-hash"));
    if (hash.size() > 1 && owner->name.ends_with(hash)) return owner->name.substr(0, owner->name.size() - hash.size());
  }
  return owner->kind == "Job" ? cron_job_of(owner->name) : owner->name;
}

std::optional<model::Workload> workload_of(const config::Pod& pod, const Objects& objects, const Settings& settings) {
  if (pod.is_terminal() || pod.addresses.empty()) return std::nullopt;
  const config::Metadata& metadata = pod.metadata;
  model::Workload out;
  out.uid = pod_uid(metadata.name_space, metadata.name, settings);
  out.name = metadata.name;
  out.name_space = metadata.name_space;
  out.addresses = pod.addresses;
  out.network = network_of(pod, objects, settings);
  out.network_gateway = gateway_into(out.network, objects);
  out.network_mode = pod.spec.host_network ? model::NetworkMode::kHostNetwork : model::NetworkMode::kStandard;
  set_tunnel(metadata, out);
  out.trust_domain = settings.trust_domain;
  out.service_account = pod.spec.service_account;
  out.node = pod.spec.node_name;
  out.cluster_id = settings.cluster_id;
  out.type = model::WorkloadType::kPod;
  out.workload_name = workload_name(pod);
  set_canonical(metadata, out);
  if (const auto* node = objects.find<config::Node>(Kind::kNode, "", pod.spec.node_name)) out.locality = locality_of(*node);
  out.health = pod.ready && !metadata.deleting ? model::Health::kHealthy : model::Health::kUnhealthy;
  out.waypoint = waypoint_of(metadata, Traffic::kWorkload, objects, settings).waypoint;
  out.application_tunnel = tunnel_into(metadata, objects, settings);
  out.services = services_of(pod, objects, settings);
  out.policies = policies_of(metadata, objects, settings);
  return out;
}

std::vector<model::Workload> workloads_of(const config::EndpointSlice& slice, const Objects& objects, const Settings& settings) {
  std::vector<model::Workload> out;
  const std::string& name_space = slice.metadata.name_space;
  const auto* service = objects.find<config::Service>(Kind::kService, name_space, slice.service);
  if (!service || !has_endpoints(*service)) return out;
  for (const config::EndpointSlice::Endpoint& endpoint : slice.endpoints) {
    if (endpoint.target != config::EndpointSlice::Endpoint::Target::kNone) continue;
    for (const IpAddress& address : endpoint.own->addresses) {
      model::Workload workload;
      workload.uid = settings.cluster_id + "/discovery.k8s.io/EndpointSlice/" + name_space + "/" + slice.metadata.name + "/" +
                     address.text();
      workload.name = slice.metadata.name;
      workload.name_space = name_space;
      workload.addresses = {address};
      workload.network = network_of_mesh(objects, settings);
      workload.network_mode = model::NetworkMode::kHostNetwork;  // its address is not its own: many services may name it
      workload.trust_domain = settings.trust_domain;
      workload.service_account = "";
      workload.node = endpoint.own->node_name;
      workload.cluster_id = settings.cluster_id;
      workload.type = model::WorkloadType::kPod;
      workload.locality.zone = endpoint.own->zone;
      workload.health = endpoint.own->ready ? model::Health::kHealthy : model::Health::kUnhealthy;
      workload.services[name_space + "/" + hostname_of(service->metadata, settings)] = ports_on(slice, *service);
      out.push_back(std::move(workload));
    }
  }
  return out;
}

}  // namespace culvert::derive
