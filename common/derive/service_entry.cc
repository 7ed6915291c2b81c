#include "common/derive/service_entry.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <set>
#include <utility>

#include "common/config/problem.h"
#include "common/derive/allocate.h"
#include "common/derive/service.h"
#include "common/derive/waypoint.h"
#include "proto/istio/networking/v1alpha3/service_entry.pb.h"

namespace culvert::derive {
namespace {

using config::Kind;
using istio::networking::v1alpha3::ServiceEntry;
using Level = EntryVisibility::Level;
using Texts = std::vector<std::string>;

const ServiceEntry* entry_spec(const config::Custom& entry) { return dynamic_cast<const ServiceEntry*>(entry.spec.get()); }

Level level_of(std::string_view name_space, const Objects& objects, const Settings& settings) {
  static const config::Labels kNone;
  const EntryVisibility& rules = settings.entry_visibility;
  const auto* found = objects.find<config::Namespace>(Kind::kNamespace, "", name_space);
  const config::Labels& labels = found ? found->metadata.labels.get() : kNone;
  const auto policy = std::ranges::find_if(rules.policies, [&](const EntryVisibility::Policy& one) {
    return std::ranges::all_of(one.namespaces, [&](const LabelQuery& query) { return query.matches(labels); });
  });
  return policy == rules.policies.end() ? rules.otherwise : policy->level;
}

// The Service that Kubernetes knows by this hostname: "web.shop.svc.cluster.local".
const config::Service* kubernetes_service(std::string_view host, const Objects& objects, const Settings& settings) {
  const std::string suffix = ".svc." + settings.cluster_domain;
  if (!host.ends_with(suffix)) return nullptr;
  host.remove_suffix(suffix.size());
  const auto dot = host.find('.');
  if (dot == host.npos) return nullptr;
  const auto* service = objects.find<config::Service>(Kind::kService, host.substr(dot + 1), host.substr(0, dot));
  return service && service->type != config::Service::Type::kExternalName ? service : nullptr;
}

// Whose the host is instead; empty when it is the entry's.
std::string lost_to(const config::Custom& entry, const std::string& host, const Objects& objects, const Settings& settings) {
  const std::string& name_space = entry.metadata.name_space;
  const auto* service = kubernetes_service(host, objects, settings);
  if (service && service->metadata.name_space == name_space) return "Service " + name_space + "/" + service->metadata.name;
  const auto& claims = objects.claims(host);
  const auto own = claims.find(name_space);
  if (own == claims.end() || own->second.begin()->name == entry.metadata.name) return "";
  return "ServiceEntry " + name_space + "/" + own->second.begin()->name;
}

// Of all namespaces' owners of a host one is the host for everybody else: Kubernetes', else the oldest that everybody may see.
bool is_canonical(const config::Custom& entry, const std::string& host, const Objects& objects, const Settings& settings) {
  if (kubernetes_service(host, objects, settings)) return false;
  std::optional<std::pair<std::int64_t, std::string_view>> first;
  for (const auto& [name_space, of_namespace] : objects.claims(host)) {
    if (level_of(name_space, objects, settings) != Level::kPublic) continue;
    const std::pair<std::int64_t, std::string_view> one{of_namespace.begin()->created, name_space};
    if (!first || one < *first) first = one;
  }
  return first && first->second == entry.metadata.name_space;
}

std::optional<std::vector<Cidr>> ranges_of(const ServiceEntry& spec) {
  std::vector<Cidr> out;
  for (const std::string& text : spec.addresses()) {
    const auto range = Cidr::parse(text);
    if (!range) return std::nullopt;
    out.push_back(masked(*range));
  }
  return out;
}

std::vector<model::Vip> vips_of(const std::string& host, const std::vector<Cidr>& own, bool may_be_given,
                                std::span<const config::StatusAddress> given, const std::string& network) {
  std::vector<model::Vip> out;
  const auto add = [&](const Cidr& range) {
    model::Vip vip{network, range};
    if (!std::ranges::contains(out, vip)) out.push_back(std::move(vip));
  };
  std::ranges::for_each(own, add);
  if (!own.empty() || !may_be_given) return out;
  for (const config::StatusAddress& one : given) {
    if (one.host != host) continue;
    if (const auto address = IpAddress::parse(one.value)) add({*address, static_cast<std::uint8_t>(address->bytes().size() * 8)});
  }
  return out;
}

std::optional<model::LoadBalancing> balancing_of(const config::Custom& entry, const ServiceEntry& spec, const Objects& objects) {
  model::LoadBalancing out;
  if (spec.resolution() == ServiceEntry::NONE) {
    out.mode = model::LoadBalancing::Mode::kPassthrough;
    out.health_policy = model::LoadBalancing::HealthPolicy::kAllowAll;
    return out;
  }
  out = preference(entry.metadata, "", objects);
  if (out == model::LoadBalancing{}) return std::nullopt;
  return out;
}

// An entry for one namespace would be seen in another, were it served by a waypoint there.
void say_waypoint(const config::Custom& entry, const Objects& objects, const Settings& settings, Texts& out) {
  Binding binding = waypoint_of(entry.metadata, Traffic::kService, objects, settings);
  const auto& spec = *entry_spec(entry);
  if (!binding.waypoint && spec.resolution() == ServiceEntry::DYNAMIC_DNS)
    out.push_back("resolution DYNAMIC_DNS needs a waypoint (label istio.io/use-waypoint): connections to it are refused");
  if (!binding.waypoint) return;
  const std::string& in = entry.metadata.name_space;
  if (binding.trouble.empty() && binding.name_space != in && level_of(in, objects, settings) == Level::kNamespace)
    binding.trouble = "meshConfig.serviceEntryVisibility is NAMESPACE, and the waypoint is in another namespace";
  out.push_back(waypoint_text(binding));
  if (auto trouble = canary_of(entry.metadata, binding, objects, settings).trouble; !trouble.empty())
    out.push_back(trouble + ": all connections go to " + binding.waypoint->text());
}

void say_hosts(const config::Custom& entry, const Objects& objects, const Settings& settings, Texts& out) {
  const ServiceEntry& spec = *entry_spec(entry);
  for (const std::string& host : std::set<std::string>(spec.hosts().begin(), spec.hosts().end())) {
    if (!is_host(host)) {
      out.push_back("spec.hosts: " + config::quote(host) + " is no hostname: it is left out");
      continue;
    }
    if (const std::string owner = lost_to(entry, host, objects, settings); !owner.empty())
      out.push_back("spec.hosts: " + host + " is left out: it belongs to " + owner);
    if (is_wildcard(host) && spec.resolution() != ServiceEntry::DYNAMIC_DNS && spec.addresses().empty())
      out.push_back("spec.hosts: " + host + " has no address, and gets none without resolution DYNAMIC_DNS: nobody is led to it");
  }
}

}  // namespace

bool is_host(const Cidr& range) { return range.length == range.address.bytes().size() * 8; }

Cidr masked(Cidr range) {
  std::vector<std::uint8_t> bytes(range.address.bytes().begin(), range.address.bytes().end());
  for (std::size_t bit = range.length; bit < bytes.size() * 8; ++bit)
    bytes[bit / 8] &= static_cast<std::uint8_t>(~(0x80U >> (bit % 8)));
  range.address = IpAddress::from_bytes(bytes).value_or(range.address);
  return range;
}

std::vector<Cidr> written_addresses(const config::Object& object) {
  const auto* spec = spec_of<ServiceEntry>(&object);
  const auto ranges = spec ? ranges_of(*spec) : std::nullopt;
  return ranges.value_or(std::vector<Cidr>{});
}

bool is_wildcard(std::string_view host) { return host.starts_with("*."); }

bool is_host(std::string_view text) {
  if (is_wildcard(text)) text.remove_prefix(2);
  if (text.empty() || text.size() > 253 || text.starts_with('.') || text.ends_with('.') || text.contains("..")) return false;
  return std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
  });
}

std::vector<EntryPort> entry_ports(const config::Custom& entry) {
  std::vector<EntryPort> out;
  for (const auto& port : entry_spec(entry)->ports()) {
    if (port.protocol() == "UDP" || port.protocol() == "udp") continue;
    const std::uint32_t target = port.target_port() != 0 ? port.target_port() : port.number();
    out.push_back({port.name(), static_cast<std::uint16_t>(port.number()), static_cast<std::uint16_t>(target), port.protocol()});
  }
  return out;
}

std::vector<std::string> entry_hosts(const config::Custom& entry, const Objects& objects, const Settings& settings) {
  std::vector<std::string> out;
  const ServiceEntry& spec = *entry_spec(entry);
  if (!ranges_of(spec) || level_of(entry.metadata.name_space, objects, settings) == Level::kNone) return out;
  std::set<std::string_view> seen;
  for (const std::string& host : spec.hosts()) {
    if (is_host(host) && seen.insert(host).second && lost_to(entry, host, objects, settings).empty()) out.push_back(host);
  }
  return out;
}

std::vector<model::Service> entry_services(const config::Custom& entry, std::span<const config::StatusAddress> given,
                                           const Objects& objects, const Settings& settings) {
  std::vector<model::Service> out;
  const ServiceEntry& spec = *entry_spec(entry);
  const auto ranges = ranges_of(spec);
  if (!ranges) return out;
  model::Service service;
  service.name = entry.metadata.name;
  service.name_space = entry.metadata.name_space;
  for (const EntryPort& port : entry_ports(entry))
    service.ports.push_back({port.port, port.target, protocol_called(port.protocol)});
  service.subject_alt_names = {spec.subject_alt_names().begin(), spec.subject_alt_names().end()};
  service.load_balancing = balancing_of(entry, spec, objects);
  if (level_of(entry.metadata.name_space, objects, settings) == Level::kNamespace)
    service.visibility = model::Visibility::kNamespace;
  set_waypoint(entry.metadata, objects, settings, service);
  const std::string network(network_of_mesh(objects, settings));
  // Of two at one address the canonical one counts: who was given it, not who writes it down.
  const bool claims = std::ranges::any_of(*ranges, [](const Cidr& range) { return is_host(range) && in_automatic_block(range); });
  for (std::string& host : entry_hosts(entry, objects, settings)) {
    service.vips = vips_of(host, *ranges, wants_address(entry, host), given, network);
    service.canonical = !claims && is_canonical(entry, host, objects, settings);
    service.hostname = std::move(host);
    out.push_back(service);
  }
  return out;
}

std::vector<std::string> entry_doubts(const config::Custom& entry, const Objects& objects, const Settings& settings) {
  Texts out;
  const ServiceEntry& spec = *entry_spec(entry);
  const auto ranges = ranges_of(spec);
  if (!ranges) {
    for (const std::string& text : spec.addresses()) {
      if (!Cidr::parse(text))
        out.push_back("spec.addresses: " + config::quote(text) + " is no IP address or range: the whole entry is left out");
    }
    return out;
  }
  if (level_of(entry.metadata.name_space, objects, settings) == Level::kNone) {
    out.push_back("meshConfig.serviceEntryVisibility is NONE for its namespace: it is left out");
    return out;
  }
  for (const Cidr& range : *ranges) {
    if (in_automatic_block(range))
      out.push_back("spec.addresses: " + range.text() +
                    " covers addresses that hosts without any are given: it takes none from them, and new ones may be of them");
  }
  say_hosts(entry, objects, settings, out);
  say_waypoint(entry, objects, settings, out);
  const bool everybody = spec.export_to().empty() || std::ranges::contains(spec.export_to(), "*");
  if (!everybody)
    out.push_back("spec.exportTo is not followed: who sees it is meshConfig.serviceEntryVisibility, for whole namespaces");
  if (spec.resolution() == ServiceEntry::NONE && spec.addresses().empty())
    out.push_back("resolution NONE without spec.addresses: its connections are not told from others");
  if (spec.resolution() == ServiceEntry::STATIC && spec.endpoints().empty() && !spec.has_workload_selector())
    out.push_back("resolution STATIC without spec.endpoints and spec.workloadSelector: it has no endpoint");
  return out;
}

}  // namespace culvert::derive
