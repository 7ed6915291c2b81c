#include "common/derive/workload_entry.h"

#include <algorithm>
#include <set>
#include <utility>

#include "common/config/problem.h"
#include "common/derive/authorization.h"
#include "common/derive/network.h"
#include "common/derive/peer_authentication.h"
#include "common/derive/service.h"
#include "common/derive/service_entry.h"
#include "common/derive/waypoint.h"
#include "common/derive/workload.h"
#include "proto/istio/networking/v1alpha3/service_entry.pb.h"
#include "proto/istio/networking/v1alpha3/workload_group.pb.h"

namespace culvert::derive {
namespace {

using config::Kind;
using config::value_of;
using istio::networking::v1alpha3::ServiceEntry;
using istio::networking::v1alpha3::WorkloadEntry;
using istio::networking::v1alpha3::WorkloadGroup;
using Texts = std::vector<std::string>;

constexpr std::string_view kGroup = "istio.io/autoRegistrationGroup";

// How an endpoint is reached: by its address, by a name, or only through the gateway of its network.
struct Where {
  bool reachable = false;
  std::optional<IpAddress> address;
  std::string hostname;
  std::string trouble;
};

Where where_of(const WorkloadEntry& entry) {
  const std::string& text = entry.address();
  if (text.empty()) {
    if (!entry.network().empty()) return {true, std::nullopt, "", ""};
    return {false, std::nullopt, "", "address and network are missing: it is left out"};
  }
  if (const auto address = IpAddress::parse(text)) {
    if (address->is_unspecified()) return {false, std::nullopt, "", "address " + text + " is nobody's: it is left out"};
    return {true, *address, "", ""};
  }
  if (text.starts_with("unix://"))
    return {false, std::nullopt, "", "address " + config::quote(text) + " is a Unix socket: it is left out"};
  if (!is_host(text) || is_wildcard(text))
    return {false, std::nullopt, "", "address " + config::quote(text) + " is no IP address or hostname: it is left out"};
  return {true, std::nullopt, text,
          "address " + text + " is a name for DNS, which this version does not ask: connections to it are refused"};
}

PortsByName ports_of(const WorkloadEntry& entry) {
  PortsByName out;
  for (const auto& [name, port] : entry.ports()) out[name] = static_cast<std::uint16_t>(port);
  return out;
}

model::PortMap ports_on(const PortsByName& own, const config::Custom& service_entry) {
  model::PortMap out;
  for (const EntryPort& port : entry_ports(service_entry)) {
    const auto named = own.find(port.name);
    out[port.port] = named == own.end() ? port.target : named->second;
  }
  return out;
}

// A Service's named target is a port of that name; a numbered one may be overridden by the name of the service's port.
model::PortMap ports_on(const PortsByName& own, const config::Service& service) {
  model::PortMap out;
  for (const config::ServicePort* port : tcp_ports(service)) {
    const auto named = own.find(port->target.number == 0 ? port->target.name : port->name);
    const std::uint16_t target = named == own.end() ? port->target.number : named->second;
    if (target != 0) out[port->port] = target;
  }
  return out;
}

model::Locality locality_of(std::string_view text) {
  model::Locality out;
  for (std::string* part : {&out.region, &out.zone, &out.subzone}) {
    *part = text.substr(0, text.find('/'));
    text.remove_prefix(std::min(part->size() + 1, text.size()));
  }
  return out;
}

// What both sorts have in common. `metadata` is that of the object: its labels say what it is.
model::Workload workload(const WorkloadEntry& entry, const Where& where, const config::Metadata& metadata, const Objects& objects,
                         const Settings& settings) {
  model::Workload out;
  out.name = metadata.name;
  out.name_space = metadata.name_space;
  if (where.address) out.addresses = {*where.address};
  out.hostname = where.hostname;
  out.network = entry.network().empty() ? std::string(network_of_mesh(objects, settings)) : entry.network();
  out.network_gateway = gateway_into(out.network, objects);
  set_tunnel(metadata, out);
  out.trust_domain = settings.trust_domain;
  out.service_account = entry.service_account();
  out.cluster_id = settings.cluster_id;
  out.type = model::WorkloadType::kPod;
  out.workload_name = metadata.name;
  out.locality = locality_of(entry.locality());
  if (entry.weight() > 0) out.capacity = entry.weight();
  out.policies = policies_of(metadata, objects, settings);
  return out;
}

// Without one of its own, the account of the group that it was registered for.
std::string account_of(const WorkloadEntry& entry, const config::Metadata& metadata, const Objects& objects) {
  if (!entry.service_account().empty()) return entry.service_account();
  std::string_view group = value_of(metadata.annotations, kGroup);
  for (const config::OwnerReference& owner : metadata.owners) {
    if (group.empty() && owner.kind == "WorkloadGroup") group = owner.name;
  }
  const auto* spec = spec_of<WorkloadGroup>(object_of({Kind::kWorkloadGroup, metadata.name_space, std::string(group)}, objects));
  return spec ? spec->template_().service_account() : "";
}

// In a tunnel somebody must be at its end: who says nothing is "default", as who receives it reads it.
void default_account(model::Workload& out) {
  if (out.service_account.empty() && out.protocol == model::TunnelProtocol::kHbone)
    out.service_account = model::kDefaultServiceAccount;
}

std::vector<WorkloadEntry> endpoints_of(const ServiceEntry& spec, const std::vector<std::string>& hosts, bool& by_host) {
  if (spec.resolution() == ServiceEntry::NONE) return {};
  by_host = spec.endpoints().empty() && spec.resolution() != ServiceEntry::STATIC && !spec.has_workload_selector();
  if (!by_host) return {spec.endpoints().begin(), spec.endpoints().end()};
  std::vector<WorkloadEntry> out;
  for (const std::string& host : hosts) out.emplace_back().set_address(host);
  return out;
}

}  // namespace

std::string workload_entry_uid(std::string_view name_space, std::string_view name, const Settings& settings) {
  std::string out = settings.cluster_id;
  return out.append("/networking.istio.io/WorkloadEntry/").append(name_space).append("/").append(name);
}

config::Metadata labelled(const config::Custom& workload_entry) {
  config::Metadata out = workload_entry.metadata;
  const auto& more = dynamic_cast<const WorkloadEntry&>(*workload_entry.spec).labels();
  if (!more.empty()) out.labels.edit().insert(more.begin(), more.end());  // those of the object itself stay
  return out;
}

void add_entries(const config::Metadata& metadata, const PortsByName& ports, const Objects& objects, const Settings& settings,
                 std::map<std::string, model::PortMap>& out) {
  for (const std::string_view name : objects.selecting(Kind::kServiceEntry, metadata.name_space, metadata.labels)) {
    const auto* entry = objects.find<config::Custom>(Kind::kServiceEntry, metadata.name_space, name);
    const model::PortMap map = ports_on(ports, *entry);
    for (const std::string& host : entry_hosts(*entry, objects, settings)) out[metadata.name_space + "/" + host] = map;
  }
}

std::optional<model::Workload> workload_of(const config::Custom& workload_entry, const Objects& objects,
                                           const Settings& settings) {
  const auto& spec = dynamic_cast<const WorkloadEntry&>(*workload_entry.spec);
  const Where where = where_of(spec);
  if (!where.reachable) return std::nullopt;
  const config::Metadata metadata = labelled(workload_entry);
  model::Workload out = workload(spec, where, metadata, objects, settings);
  out.uid = workload_entry_uid(metadata.name_space, metadata.name, settings);
  out.service_account = account_of(spec, metadata, objects);
  default_account(out);
  if (const auto label = value_of(metadata.labels, "service.istio.io/workload-name"); !label.empty()) out.workload_name = label;
  if (const auto group = value_of(metadata.annotations, kGroup); !group.empty()) out.workload_name = group;
  set_canonical(metadata, out);
  out.waypoint = waypoint_of(metadata, Traffic::kWorkload, objects, settings).waypoint;
  out.application_tunnel = tunnel_into(metadata, objects, settings);
  const PortsByName ports = ports_of(spec);
  for (const std::string_view name : objects.selecting(Kind::kService, metadata.name_space, metadata.labels)) {
    const auto* service = objects.find<config::Service>(Kind::kService, metadata.name_space, name);
    if (service->type == config::Service::Type::kExternalName) continue;
    out.services[metadata.name_space + "/" + hostname_of(service->metadata, settings)] = ports_on(ports, *service);
  }
  add_entries(metadata, ports, objects, settings, out.services);
  return out;
}

std::optional<OwnAddress> own_address(const config::Custom& workload_entry) {
  const auto* spec = dynamic_cast<const WorkloadEntry*>(workload_entry.spec.get());
  const auto address = spec ? where_of(*spec).address : std::nullopt;
  return address ? std::optional(OwnAddress{*address, spec->network()}) : std::nullopt;
}

std::size_t endpoints_in(const config::Custom& service_entry) {
  const auto& spec = dynamic_cast<const ServiceEntry&>(*service_entry.spec);
  bool by_host = false;
  std::set<std::string> seen;
  for (const WorkloadEntry& entry : endpoints_of(spec, {spec.hosts().begin(), spec.hosts().end()}, by_host))
    if (by_host || where_of(entry).reachable) seen.insert(entry.address());
  return seen.size();
}

std::vector<model::Workload> workloads_of(const config::Custom& service_entry, const Objects& objects, const Settings& settings) {
  std::vector<model::Workload> out;
  const std::vector<std::string> hosts = entry_hosts(service_entry, objects, settings);
  if (hosts.empty()) return out;
  const config::Metadata& metadata = service_entry.metadata;
  const std::string uid =
      settings.cluster_id + "/networking.istio.io/ServiceEntry/" + metadata.name_space + "/" + metadata.name + "/";
  bool by_host = false;
  std::set<std::string> seen;
  for (const WorkloadEntry& entry : endpoints_of(dynamic_cast<const ServiceEntry&>(*service_entry.spec), hosts, by_host)) {
    const Where where = by_host ? Where{true, std::nullopt, entry.address(), ""} : where_of(entry);
    if (!where.reachable || !seen.insert(entry.address()).second) continue;
    model::Workload one = workload(entry, where, metadata, objects, settings);
    one.uid = uid + entry.address();
    default_account(one);
    set_canonical(metadata, one);
    const model::PortMap ports = ports_on(ports_of(entry), service_entry);
    for (const std::string& host : hosts) {
      if (!by_host || host == entry.address()) one.services[metadata.name_space + "/" + host] = ports;
    }
    if (!by_host) {
      config::Metadata own;
      own.name = metadata.name;
      own.name_space = metadata.name_space;
      own.labels = config::Labels(entry.labels().begin(), entry.labels().end());
      one.waypoint = waypoint_of(own, Traffic::kWorkload, objects, settings).waypoint;
      one.application_tunnel = tunnel_into(own, objects, settings);
    }
    out.push_back(std::move(one));
  }
  return out;
}

std::vector<std::string> workload_entry_doubts(const config::Custom& entry, const Objects& objects, const Settings& settings) {
  Texts out;
  const auto& spec = dynamic_cast<const WorkloadEntry&>(*entry.spec);
  const Where where = where_of(spec);
  if (!where.trouble.empty()) out.push_back("spec: " + where.trouble);
  if (!where.reachable) return out;
  const config::Metadata metadata = labelled(entry);
  if (const std::string trouble = network_trouble(spec.network(), objects, settings); !trouble.empty()) out.push_back(trouble);
  const Binding binding = waypoint_of(metadata, Traffic::kWorkload, objects, settings);
  if (binding.own && binding.waypoint) out.push_back(waypoint_text(binding));
  const std::string account = account_of(spec, metadata, objects);
  if (!account.empty() && account != model::kDefaultServiceAccount &&
      !objects.in(Kind::kServiceAccount, metadata.name_space).contains(account))
    out.push_back("spec.serviceAccount: there is no ServiceAccount " + account);
  return out;
}

std::vector<std::string> endpoint_doubts(const config::Custom& service_entry, const Objects& objects, const Settings& settings) {
  Texts out;
  const auto& spec = dynamic_cast<const ServiceEntry&>(*service_entry.spec);
  if (spec.resolution() == ServiceEntry::NONE) return out;
  std::set<std::string> seen;
  for (const WorkloadEntry& endpoint : spec.endpoints()) {
    if (const Where where = where_of(endpoint); !where.trouble.empty()) out.push_back("spec.endpoints: " + where.trouble);
    if (!endpoint.address().empty() && !seen.insert(endpoint.address()).second)
      out.push_back("spec.endpoints: address " + endpoint.address() + " is there twice: the first one counts");
    if (const std::string trouble = network_trouble(endpoint.network(), objects, settings); !trouble.empty())
      out.push_back("spec.endpoints: " + config::quote(endpoint.address()) + " " + trouble);
  }
  if (spec.endpoints().empty() && spec.resolution() != ServiceEntry::STATIC && !spec.has_workload_selector())
    out.push_back("its hosts are names for DNS, which this version does not ask: connections to them are refused");
  return out;
}

}  // namespace culvert::derive
