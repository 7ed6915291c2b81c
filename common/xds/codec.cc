#include "common/xds/codec.h"

#include <span>
#include <tuple>

#include "common/base/format.h"
#include "common/xds/serialise.h"
#include "proto/workload.pb.h"

namespace culvert::xds {
namespace {

namespace wire = istio::workload;
using model::GatewayAddress;
using model::LoadBalancing;
using model::NetworkAddress;
using model::Service;
using model::ServiceName;
using model::Workload;

std::span<const std::uint8_t> span_of(const std::string& bytes) {
  return {reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()};
}
std::string bytes_of(const IpAddress& address) {
  const auto bytes = address.bytes();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Result<std::uint16_t> decode_port(std::uint32_t value, std::string_view what) {
  if (value > 65535) return failure(culvert::format("{} {} is above 65535", what, value));
  return static_cast<std::uint16_t>(value);
}

// Enums of the model have the numbers of the wire. `known`: how many values there are.
template <class To>
Status decode_enum(int value, int known, std::string_view what, To& out) {
  if (value < 0 || value >= known) return failure(culvert::format("{} {} is unknown", what, value));
  out = static_cast<To>(value);
  return {};
}

Result<IpAddress> decode_address_bytes(const std::string& bytes, std::string_view what) {
  auto address = IpAddress::from_bytes(span_of(bytes));
  if (!address) return failure(culvert::format("{} has {} bytes, not 4 or 16", what, bytes.size()));
  return *address;
}

Result<GatewayAddress> decode_gateway(const wire::GatewayAddress& in, std::string_view what) {
  GatewayAddress out;
  auto port = decode_port(in.hbone_mtls_port(), std::string(what) + " port");
  if (!port) return std::unexpected(port.error());
  out.hbone_port = *port;
  switch (in.destination_case()) {
    case wire::GatewayAddress::kHostname:
      if (in.hostname().hostname().empty()) return failure(culvert::format("{} has an empty hostname", what));
      out.destination = ServiceName{in.hostname().namespace_(), in.hostname().hostname()};
      return out;
    case wire::GatewayAddress::kAddress: {
      auto address = decode_address_bytes(in.address().address(), std::string(what) + " address");
      if (!address) return std::unexpected(address.error());
      out.destination = NetworkAddress{in.address().network(), *address};
      return out;
    }
    case wire::GatewayAddress::DESTINATION_NOT_SET: break;
  }
  return failure(culvert::format("{} has no destination", what));
}

wire::GatewayAddress encode_gateway(const GatewayAddress& gateway) {
  wire::GatewayAddress out;
  if (const auto* name = std::get_if<ServiceName>(&gateway.destination)) {
    out.mutable_hostname()->set_namespace_(name->name_space);
    out.mutable_hostname()->set_hostname(name->hostname);
  } else {
    const auto& at = std::get<NetworkAddress>(gateway.destination);
    out.mutable_address()->set_network(at.network);
    out.mutable_address()->set_address(bytes_of(at.address));
  }
  out.set_hbone_mtls_port(gateway.hbone_port);
  return out;
}

// Texts and flags, which cannot be wrong.
Workload decode_texts(const wire::Workload& in) {
  const auto or_default = [](const std::string& text, std::string_view other) {
    return text.empty() ? std::string(other) : text;
  };
  Workload out;
  out.uid = in.uid();
  out.name = in.name();
  out.name_space = in.namespace_();
  out.hostname = in.hostname();
  out.network = in.network();
  out.native_tunnel = in.native_tunnel();
  out.trust_domain = or_default(in.trust_domain(), model::kDefaultTrustDomain);
  out.service_account = or_default(in.service_account(), model::kDefaultServiceAccount);
  out.cluster_id = or_default(in.cluster_id(), model::kDefaultCluster);
  out.node = in.node();
  out.canonical_name = in.canonical_name();
  out.canonical_revision = in.canonical_revision();
  out.workload_name = in.workload_name();
  out.locality = {in.locality().region(), in.locality().zone(), in.locality().subzone()};
  out.capacity = in.has_capacity() ? in.capacity().value() : 1;
  out.policies.assign(in.authorization_policies().begin(), in.authorization_policies().end());
  return out;
}

Status decode_enums(const wire::Workload& in, Workload& out) {
  if (in.tunnel_protocol() == wire::LEGACY_ISTIO_MTLS) return failure("tunnel protocol LEGACY_ISTIO_MTLS is not supported");
  if (auto done = decode_enum(in.tunnel_protocol(), 2, "tunnel protocol", out.protocol); !done) return done;
  if (auto done = decode_enum(in.workload_type(), 4, "workload type", out.type); !done) return done;
  if (auto done = decode_enum(in.status(), 2, "status", out.health); !done) return done;
  return decode_enum(in.network_mode(), 2, "network mode", out.network_mode);
}

Status decode_tunnels(const wire::Workload& in, Workload& out) {
  if (in.has_application_tunnel()) {
    auto& tunnel = out.application_tunnel.emplace();
    auto port = decode_port(in.application_tunnel().port(), "application tunnel port");
    if (!port) return std::unexpected(port.error());
    tunnel.port = *port;
    if (auto done = decode_enum(in.application_tunnel().protocol(), 2, "application tunnel protocol", tunnel.protocol); !done)
      return done;
  }
  if (in.has_waypoint()) {
    auto gateway = decode_gateway(in.waypoint(), "waypoint");
    if (!gateway) return std::unexpected(gateway.error());
    out.waypoint = std::move(*gateway);
  }
  if (in.has_network_gateway()) {
    auto gateway = decode_gateway(in.network_gateway(), "network gateway");
    if (!gateway) return std::unexpected(gateway.error());
    out.network_gateway = std::move(*gateway);
  }
  return {};
}

Result<Address> decode(const wire::Workload& in) {
  if (in.uid().empty()) return failure("the workload has no uid");
  Workload out = decode_texts(in);
  if (auto done = decode_enums(in, out); !done) return std::unexpected(done.error());
  if (auto done = decode_tunnels(in, out); !done) return std::unexpected(done.error());
  for (const std::string& bytes : in.addresses()) {
    auto address = decode_address_bytes(bytes, "address");
    if (!address) return std::unexpected(address.error());
    out.addresses.push_back(*address);
  }
  for (const auto& [key, list] : in.services()) {
    if (auto name = ServiceName::parse(key); !name) return failure("services: " + name.error().text);
    auto& ports = out.services[key];
    for (const wire::Port& port : list.ports()) {
      auto from = decode_port(port.service_port(), "service port");
      auto to = decode_port(port.target_port(), "target port");
      if (!from || !to) return std::unexpected((from ? to : from).error());
      ports[*from] = *to;
    }
  }
  return Address(std::move(out));
}

Result<model::Vip> decode_vip(const wire::NetworkAddress& in) {
  auto address = decode_address_bytes(in.address(), "address");
  if (!address) return std::unexpected(address.error());
  const unsigned full = static_cast<unsigned>(address->bytes().size()) * 8;
  auto range = Cidr::make(*address, in.has_length() ? in.length() : full);
  if (!range) return failure(culvert::format("prefix length {} of {} is longer than the address", in.length(), address->text()));
  return model::Vip{in.network(), *range};
}

Status decode_ports(const wire::Service& in, Service& out) {
  for (const wire::Port& port : in.ports()) {
    auto from = decode_port(port.service_port(), "service port");
    auto to = decode_port(port.target_port(), "target port");
    if (!from || !to) return std::unexpected((from ? to : from).error());
    auto& added = out.ports.emplace_back(model::ServicePort{*from, *to});
    std::ignore = decode_enum(port.app_protocol(), 6, "application protocol", added.app_protocol);
  }
  return {};
}

Status decode_balancing(const wire::Service& in, Service& out) {
  if (!in.has_load_balancing()) return {};
  auto& balancing = out.load_balancing.emplace();
  for (const int scope : in.load_balancing().routing_preference()) {
    auto& added = balancing.routing_preference.emplace_back();
    if (auto done = decode_enum(scope, 7, "routing preference", added); !done) return done;
  }
  if (auto done = decode_enum(in.load_balancing().mode(), 4, "load balancing mode", balancing.mode); !done) return done;
  return decode_enum(in.load_balancing().health_policy(), 2, "health policy", balancing.health_policy);
}

Status decode_waypoints(const wire::Service& in, Service& out) {
  if (in.has_waypoint()) {
    auto gateway = decode_gateway(in.waypoint(), "waypoint");
    if (!gateway) return std::unexpected(gateway.error());
    out.waypoint = std::move(*gateway);
  }
  for (const wire::WeightedWaypoint& weighted : in.weighted_waypoints()) {
    auto gateway = decode_gateway(weighted.destination(), "weighted waypoint");
    if (!gateway) return std::unexpected(gateway.error());
    out.weighted_waypoints.push_back({std::move(*gateway), weighted.weight()});
  }
  return {};
}

Result<Address> decode(const wire::Service& in) {
  if (in.hostname().empty()) return failure("the service has no hostname");
  if (in.namespace_().empty()) return failure("the service has no namespace");
  Service out;
  out.name = in.name();
  out.name_space = in.namespace_();
  out.hostname = in.hostname();
  out.subject_alt_names.assign(in.subject_alt_names().begin(), in.subject_alt_names().end());
  out.canonical = in.canonical();
  out.ingress_use_waypoint = in.ingress_use_waypoint();
  for (const wire::NetworkAddress& address : in.addresses()) {
    auto vip = decode_vip(address);
    if (!vip) return std::unexpected(vip.error());
    out.vips.push_back(std::move(*vip));
  }
  if (auto done = decode_ports(in, out); !done) return std::unexpected(done.error());
  if (auto done = decode_balancing(in, out); !done) return std::unexpected(done.error());
  if (auto done = decode_waypoints(in, out); !done) return std::unexpected(done.error());
  std::ignore = decode_enum(in.ip_families(), 4, "IP families", out.ip_families);
  if (auto done = decode_enum(in.visibility(), 2, "visibility", out.visibility); !done) return std::unexpected(done.error());
  return Address(std::move(out));
}

void fill(wire::Workload& out, const Workload& workload) {
  const auto unless = [](const std::string& text, std::string_view standard) { return text == standard ? std::string() : text; };
  out.set_uid(workload.uid);
  out.set_name(workload.name);
  out.set_namespace_(workload.name_space);
  for (const IpAddress& address : workload.addresses) out.add_addresses(bytes_of(address));
  out.set_hostname(workload.hostname);
  out.set_network(workload.network);
  out.set_tunnel_protocol(static_cast<wire::TunnelProtocol>(workload.protocol));
  out.set_trust_domain(unless(workload.trust_domain, model::kDefaultTrustDomain));
  out.set_service_account(workload.service_account);
  if (workload.waypoint) *out.mutable_waypoint() = encode_gateway(*workload.waypoint);
  if (workload.network_gateway) *out.mutable_network_gateway() = encode_gateway(*workload.network_gateway);
  out.set_node(workload.node);
  out.set_canonical_name(workload.canonical_name);
  out.set_canonical_revision(workload.canonical_revision);
  out.set_workload_type(static_cast<wire::WorkloadType>(workload.type));
  out.set_workload_name(workload.workload_name);
  out.set_native_tunnel(workload.native_tunnel);
  if (workload.application_tunnel) {
    out.mutable_application_tunnel()->set_protocol(
        static_cast<wire::ApplicationTunnel::Protocol>(workload.application_tunnel->protocol));
    out.mutable_application_tunnel()->set_port(workload.application_tunnel->port);
  }
  for (const auto& [key, ports] : workload.services) {
    auto& list = (*out.mutable_services())[key];
    for (const auto& [from, to] : ports) {
      auto* port = list.add_ports();
      port->set_service_port(from);
      port->set_target_port(to);
    }
  }
  for (const std::string& policy : workload.policies) out.add_authorization_policies(policy);
  out.set_status(static_cast<wire::WorkloadStatus>(workload.health));
  out.set_cluster_id(workload.cluster_id);
  if (workload.locality != model::Locality()) {
    out.mutable_locality()->set_region(workload.locality.region);
    out.mutable_locality()->set_zone(workload.locality.zone);
    out.mutable_locality()->set_subzone(workload.locality.subzone);
  }
  out.set_network_mode(static_cast<wire::NetworkMode>(workload.network_mode));
  if (workload.capacity != 1) out.mutable_capacity()->set_value(workload.capacity);
}

void fill(wire::Service& out, const Service& service) {
  out.set_name(service.name);
  out.set_namespace_(service.name_space);
  out.set_hostname(service.hostname);
  for (const model::Vip& vip : service.vips) {
    auto* address = out.add_addresses();
    address->set_network(vip.network);
    address->set_address(bytes_of(vip.range.address));
    if (!vip.is_host()) address->set_length(vip.range.length);
  }
  for (const model::ServicePort& port : service.ports) {
    auto* added = out.add_ports();
    added->set_service_port(port.service_port);
    added->set_target_port(port.target_port);
    added->set_app_protocol(static_cast<wire::AppProtocol>(port.app_protocol));
  }
  for (const std::string& name : service.subject_alt_names) out.add_subject_alt_names(name);
  if (service.waypoint) *out.mutable_waypoint() = encode_gateway(*service.waypoint);
  for (const model::WeightedWaypoint& weighted : service.weighted_waypoints) {
    auto* added = out.add_weighted_waypoints();
    *added->mutable_destination() = encode_gateway(weighted.destination);
    added->set_weight(weighted.weight);
  }
  if (service.load_balancing) {
    auto& balancing = *out.mutable_load_balancing();
    for (const auto scope : service.load_balancing->routing_preference)
      balancing.add_routing_preference(static_cast<wire::LoadBalancing::Scope>(scope));
    balancing.set_mode(static_cast<wire::LoadBalancing::Mode>(service.load_balancing->mode));
    balancing.set_health_policy(static_cast<wire::LoadBalancing::HealthPolicy>(service.load_balancing->health_policy));
  }
  out.set_ip_families(static_cast<wire::IPFamilies>(service.ip_families));
  out.set_canonical(service.canonical);
  out.set_ingress_use_waypoint(service.ingress_use_waypoint);
  out.set_visibility(static_cast<wire::Service::Visibility>(service.visibility));
}

}  // namespace

std::string key(const Address& address) {
  if (const auto* workload = std::get_if<Workload>(&address)) return workload->uid;
  return std::get<Service>(address).key();
}

Result<Address> decode_address(std::string_view bytes) {
  wire::Address in;
  if (!in.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return failure("not an istio.workload.Address");
  switch (in.type_case()) {
    case wire::Address::kWorkload: return decode(in.workload());
    case wire::Address::kService: return decode(in.service());
    case wire::Address::TYPE_NOT_SET: break;
  }
  return failure("neither a workload nor a service");
}

std::string encode(const Workload& workload) {
  wire::Address out;
  fill(*out.mutable_workload(), workload);
  return serialise(out);
}

std::string encode(const Service& service) {
  wire::Address out;
  fill(*out.mutable_service(), service);
  return serialise(out);
}

std::string encode_as_workload(const Workload& workload) {
  wire::Workload out;
  fill(out, workload);
  return serialise(out);
}

std::optional<std::string> workload_of(std::string_view address) {
  wire::Address in;
  if (!in.ParseFromArray(address.data(), static_cast<int>(address.size())) || !in.has_workload()) return std::nullopt;
  return serialise(in.workload());
}

}  // namespace culvert::xds
