#include "common/model/plan.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "common/base/format.h"
#include "common/model/balance.h"

namespace culvert::model {
namespace {

std::unexpected<Error> not_yet(std::string text) { return failure(std::move(text) + " (not supported yet)", Reason::kNotYet); }

// Is this workload one of the instances of that waypoint?
bool is_instance(const Mesh& mesh, const Workload& workload, const GatewayAddress& waypoint, const IpAddress& address) {
  if (const auto* name = std::get_if<ServiceName>(&waypoint.destination)) {
    const ServiceState* state = mesh.service(name->text());
    if (state && state->service) return state->endpoints.find(workload.uid) != nullptr;
    const WorkloadRef& named = mesh.workload_by_hostname(name->hostname);
    return named && named->name_space == name->name_space && named->owns(address);
  }
  const auto& at = std::get<NetworkAddress>(waypoint.destination);
  if (const WorkloadRef& owner = mesh.by_address(at)) return owner->uid == workload.uid || owner->owns(address);
  const ServiceState* state = mesh.service_by_vip(at, workload.name_space);
  return state && state->endpoints.find(workload.uid) != nullptr;
}

const GatewayAddress* waypoint_of(const Service& service) {
  for (const WeightedWaypoint& weighted : service.weighted_waypoints) {
    if (weighted.weight > 0) return &weighted.destination;
  }
  return service.waypoint ? &*service.waypoint : nullptr;
}

std::vector<Identity> expected(const Workload& workload, const Service* service) {
  std::vector<Identity> identities{workload.identity()};
  if (service) {
    for (const std::string& name : service->subject_alt_names) {
      if (auto identity = Identity::parse(name)) identities.push_back(std::move(*identity));
    }
  }
  std::ranges::sort(identities);
  identities.erase(std::unique(identities.begin(), identities.end()), identities.end());
  return identities;
}

Plan passthrough(const Endpoint& destination, ServiceRef service) {
  Plan plan;
  plan.dial = plan.upstream = destination;
  plan.service_addressed = service != nullptr;
  plan.service = std::move(service);
  return plan;
}

// The far end is a workload that we reach without anything in between.
Plan direct(const WorkloadRef& workload, const Endpoint& upstream, ServiceRef service, bool service_addressed) {
  Plan plan;
  plan.workload = workload;
  plan.upstream = plan.dial = upstream;
  plan.service_addressed = service_addressed;
  if (workload->protocol == TunnelProtocol::kHbone) {
    plan.via = Plan::Via::kTunnel;
    plan.dial.port = kHbonePort;
    plan.target = {{}, upstream.address, upstream.port};
    plan.expect = expected(*workload, service_addressed ? service.get() : nullptr);
  }
  plan.service = std::move(service);
  return plan;
}

// What is decided of a service before any endpoint is looked at; nothing when an endpoint has to be picked.
std::optional<Result<Plan>> before_picking(const ServiceState& state, const Endpoint& destination) {
  const ServiceRef& service = state.service;
  if (const GatewayAddress* waypoint = waypoint_of(*service)) {
    return not_yet(culvert::format("service {} is reached through the waypoint {}", service->key(), waypoint->text()));
  }
  if (service->load_balancing && service->load_balancing->mode == LoadBalancing::Mode::kPassthrough)
    return passthrough(destination, service);
  return std::nullopt;
}

Result<Plan> to_picked(const Picked& picked, const ServiceRef& service, const Workload& source) {
  if (picked.workload->network != source.network) {
    return not_yet(culvert::format("endpoint {} of service {} is in the network \"{}\"", picked.workload->uid, service->key(),
                                   picked.workload->network));
  }
  if (picked.address.is_none()) {
    return not_yet(culvert::format("endpoint {} of service {} is known by its name {} alone", picked.workload->uid,
                                   service->key(), picked.workload->hostname));
  }
  return direct(picked.workload, {picked.address, picked.port}, service, true);
}

Result<Plan> to_service(const ServiceState& state, const Workload& source, const Endpoint& destination, std::uint64_t random) {
  if (auto decided = before_picking(state, destination)) return std::move(*decided);
  auto picked = pick(state, source, destination, random);
  if (!picked) return std::unexpected(std::move(picked.error()));
  return to_picked(*picked, state.service, source);
}

Result<Plan> to_workload(const Mesh& mesh, const WorkloadRef& workload, const Workload& source, const Endpoint& destination) {
  if (workload->waypoint) {
    const IpAddress own = source.addresses.empty() ? IpAddress() : source.addresses.front();
    if (!is_instance(mesh, source, *workload->waypoint, own)) {
      return not_yet(
          culvert::format("workload {} is reached through the waypoint {}", workload->uid, workload->waypoint->text()));
    }
  }
  return direct(workload, destination, nullptr, false);
}

// Whether a CONNECT for `authority` may be for `own`: to an address that is served through this very workload.
bool serves(const Mesh& mesh, const Workload& own, const IpAddress& tunnel_address, const NetworkAddress& authority) {
  const GatewayAddress* waypoint = nullptr;
  if (const WorkloadRef& workload = mesh.by_address(authority)) {
    waypoint = workload->waypoint ? &*workload->waypoint : nullptr;
  } else if (const ServiceState* state = mesh.service_by_vip(authority, own.name_space)) {
    waypoint = waypoint_of(*state->service);
  }
  return waypoint && is_instance(mesh, own, *waypoint, tunnel_address);
}

struct Target {
  std::uint16_t port = 0;
  ServiceRef service;
};

// A hostname's port is one of the service, to be mapped to this endpoint's.
Result<Target> target_of(const Mesh& mesh, const Workload& own, const Authority& authority) {
  if (authority.hostname.empty()) return Target{authority.port, nullptr};
  const ServiceState* state = mesh.service_by_hostname(authority.hostname, own.name_space);
  if (!state) return failure("the authority " + authority.text() + " names no service", Reason::kNoService);
  const auto mapping = own.services.find(state->service->key());
  const std::uint16_t port =
      target_port(*state->service, mapping == own.services.end() ? PortMap() : mapping->second, authority.port);
  if (port == 0) {
    return failure(culvert::format("service {} has no port {} on workload {}", state->service->key(), authority.port, own.uid),
                   Reason::kNoService);
  }
  return Target{port, state->service};
}

}  // namespace

bool is_illegal_port(std::uint16_t port) { return port == 15001 || port == 15006 || port == kHbonePort || port == 15053; }

Result<Authority> Authority::parse(std::string_view text) {
  const auto bad = [&] {
    return failure("authority \"" + std::string(text) + "\" is not address:port or hostname:port", Reason::kBadRequest);
  };
  if (auto endpoint = Endpoint::parse(text)) {
    if (endpoint->port == 0) return bad();
    return Authority{{}, endpoint->address, endpoint->port};
  }
  const auto colon = text.rfind(':');
  if (colon == text.npos || colon == 0 || colon > 253) return bad();
  Authority authority;
  authority.hostname = text.substr(0, colon);
  const bool clean = std::ranges::all_of(authority.hostname, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
  });
  const auto [end, error] = std::from_chars(text.data() + colon + 1, text.data() + text.size(), authority.port);
  if (!clean || error != std::errc() || end != text.data() + text.size() || authority.port == 0) return bad();
  return authority;
}

std::string Authority::text() const {
  return hostname.empty() ? Endpoint{address, port}.text() : hostname + ":" + std::to_string(port);
}

namespace {

bool is_own(const Endpoint& endpoint) { return endpoint.address.is_loopback() && is_illegal_port(endpoint.port); }

std::optional<Error> own_port(const Endpoint& destination) {
  if (!is_own(destination)) return std::nullopt;
  return Error{"port " + std::to_string(destination.port) + " on loopback is ztunnel's own", Reason::kIllegalPort};
}

// Endpoints that somebody wrote down may be anything: dialled from the pod's namespace, this one would be our own listener there.
Result<Plan> unless_own(Result<Plan> plan) {
  if (!plan || !is_own(plan->dial)) return plan;
  return failure("endpoint " + (plan->workload ? plan->workload->uid : plan->dial.text()) + " is at " + plan->dial.text() +
                     ", which is ztunnel's own",
                 Reason::kIllegalPort);
}

Result<Plan> past_services(const Mesh& mesh, const NetworkAddress& key, const Workload& source, const Endpoint& destination) {
  if (const WorkloadRef& workload = mesh.by_address(key)) return to_workload(mesh, workload, source, destination);
  return passthrough(destination, nullptr);
}

}  // namespace

Result<Plan> plan_outbound(const Mesh& mesh, const Workload& source, const Endpoint& destination, std::uint64_t random) {
  if (auto refused = own_port(destination)) return std::unexpected(std::move(*refused));
  const NetworkAddress key{source.network, destination.address};
  const ServiceState* state = mesh.service_by_vip(key, source.name_space);
  return unless_own(state ? to_service(*state, source, destination, random) : past_services(mesh, key, source, destination));
}

std::vector<Result<Plan>> plans_outbound(const Mesh& mesh, const Workload& source, const Endpoint& destination) {
  if (auto refused = own_port(destination)) return {std::unexpected(std::move(*refused))};
  const NetworkAddress key{source.network, destination.address};
  const ServiceState* state = mesh.service_by_vip(key, source.name_space);
  if (!state) return {unless_own(past_services(mesh, key, source, destination))};
  if (auto decided = before_picking(*state, destination)) return {unless_own(std::move(*decided))};
  const auto all = candidates(*state, source, destination);
  if (!all) return {std::unexpected(all.error())};
  std::vector<Result<Plan>> out;
  for (const Picked& picked : *all) out.push_back(unless_own(to_picked(picked, state->service, source)));
  return out;
}

Result<InboundPlan> plan_inbound(const Mesh& mesh, const Workload& own, const IpAddress& tunnel_address,
                                 const Authority& authority, std::string_view forwarded_host) {
  const bool addressed = !authority.hostname.empty() || authority.address == tunnel_address || own.application_tunnel ||
                         serves(mesh, own, tunnel_address, {own.network, authority.address});
  if (!addressed) {
    return failure(culvert::format("asked for {}, but this is {} ({})", authority.text(), tunnel_address.text(), own.uid),
                   Reason::kBadRequest);
  }
  auto target = target_of(mesh, own, authority);
  if (!target) return std::unexpected(std::move(target.error()));
  if (own.application_tunnel) {
    if (own.application_tunnel->protocol == ApplicationTunnel::Protocol::kProxy) {
      return not_yet("workload " + own.uid + " takes its traffic by the PROXY protocol");
    }
    if (own.application_tunnel->port != 0) target->port = own.application_tunnel->port;
  }
  if (is_illegal_port(target->port))
    return failure("port " + std::to_string(target->port) + " is ztunnel's own", Reason::kIllegalPort);
  InboundPlan plan{{tunnel_address, target->port}, std::move(target->service)};
  if (!plan.service) plan.service = guess_service(mesh, own, target->port, forwarded_host);
  return plan;
}

ServiceRef guess_service(const Mesh& mesh, const Workload& workload, std::uint16_t port, std::string_view hint_hostname) {
  ServiceRef by_port;
  for (const auto& [key, ports] : workload.services) {
    const ServiceState* state = mesh.service(key);
    if (!state || !state->service) continue;
    if (!hint_hostname.empty() && state->service->hostname == hint_hostname) return state->service;
    const bool fits = std::ranges::any_of(state->service->ports, [&](const ServicePort& candidate) {
      return target_port(*state->service, ports, candidate.service_port) == port;
    });
    if (fits && !by_port) by_port = state->service;
  }
  return by_port;
}

}  // namespace culvert::model
