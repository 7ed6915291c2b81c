#include "common/model/balance.h"

#include <algorithm>
#include <map>
#include <optional>

#include "common/base/format.h"

namespace culvert::model {
namespace {

using Scope = LoadBalancing::Scope;
using Mode = LoadBalancing::Mode;

// Why an endpoint cannot be used; kNone when it can.
enum class Fault { kNone, kUnhealthy, kPort, kAddress };

struct Question {
  const Service& service;
  const Workload& source;
  const Endpoint& requested;
  const LoadBalancing& balancing;
};

bool family_allowed(IpFamilies families, const IpAddress& address) {
  if (families == IpFamilies::kIpv4Only) return address.is_v4();
  if (families == IpFamilies::kIpv6Only) return address.is_v6();
  return true;
}

// The address that was asked for when the workload owns it; else of the allowed ones the first of the request's family, else the first.
std::optional<IpAddress> choose_address(const Workload& workload, const Question& question) {
  if (workload.owns(question.requested.address)) return question.requested.address;
  std::optional<IpAddress> chosen;
  for (const IpAddress& address : workload.addresses) {
    if (!family_allowed(question.service.ip_families, address)) continue;
    if (address.is_v4() == question.requested.address.is_v4()) return address;
    if (!chosen) chosen = address;
  }
  return chosen;
}

Fault check(const ServiceEndpoint& endpoint, const Question& question) {
  const Workload& workload = *endpoint.workload;
  if (workload.health == Health::kUnhealthy && question.balancing.health_policy == LoadBalancing::HealthPolicy::kOnlyHealthy) {
    return Fault::kUnhealthy;
  }
  if (target_port(question.service, endpoint.ports, question.requested.port) == 0) return Fault::kPort;
  if (!workload.addresses.empty()) return choose_address(workload, question) ? Fault::kNone : Fault::kAddress;
  const bool by_gateway = workload.network != question.source.network && workload.network_gateway;
  return by_gateway || !workload.hostname.empty() ? Fault::kNone : Fault::kAddress;
}

bool same(Scope scope, const Workload& a, const Workload& b) {
  switch (scope) {
    case Scope::kUnspecified: return true;
    case Scope::kRegion: return a.locality.region == b.locality.region;
    case Scope::kZone: return a.locality.zone == b.locality.zone;
    case Scope::kSubzone: return a.locality.subzone == b.locality.subzone;
    case Scope::kNode: return a.node == b.node;
    case Scope::kCluster: return a.cluster_id == b.cluster_id;
    case Scope::kNetwork: return a.network == b.network;
  }
  return false;
}

// How near an endpoint is; nothing when the mode rules it out.
std::optional<unsigned> rank(const Workload& workload, const Question& question) {
  const auto& scopes = question.balancing.routing_preference;
  if (question.balancing.mode == Mode::kStrict) {
    const bool all = std::ranges::all_of(scopes, [&](Scope scope) { return same(scope, workload, question.source); });
    return all ? std::optional(0u) : std::nullopt;
  }
  if (question.balancing.mode != Mode::kFailover) return 0;
  unsigned near = 0;
  for (std::size_t i = 0; i < scopes.size(); ++i) {
    // The network, when it comes first, outweighs all the others together, and a mismatch there does not end the comparison.
    const bool network_first = i == 0 && scopes[i] == Scope::kNetwork;
    if (same(scopes[i], workload, question.source)) near += network_first ? static_cast<unsigned>(scopes.size()) : 1;
    else if (!network_first) break;
  }
  return near;
}

Picked picked(const ServiceEndpoint& endpoint, const Question& question) {
  return {endpoint.workload, choose_address(*endpoint.workload, question).value_or(IpAddress()),
          target_port(question.service, endpoint.ports, question.requested.port)};
}

std::uint64_t below(std::uint64_t random, std::uint64_t bound) {
  return static_cast<std::uint64_t>((static_cast<unsigned __int128>(random) * bound) >> 64);
}

std::uint64_t next(std::uint64_t random) {  // splitmix64
  random += 0x9e3779b97f4a7c15ULL;
  random = (random ^ (random >> 30)) * 0xbf58476d1ce4e5b9ULL;
  random = (random ^ (random >> 27)) * 0x94d049bb133111ebULL;
  return random ^ (random >> 31);
}

// Endpoints that are all alike: guess until one can be used. Finds one of many at once, and is as fair as looking at all of them.
const ServiceEndpoint* guess(const ServiceState& state, const Question& question, std::uint64_t random) {
  const bool alike =
      state.weighted == 0 && (question.balancing.mode == Mode::kUnspecified || question.balancing.routing_preference.empty());
  if (!alike || state.endpoints.empty()) return nullptr;
  for (int attempt = 0; attempt < 8; ++attempt) {
    const ServiceEndpoint& endpoint = state.endpoints.nth(below(random, state.endpoints.size())).second;
    if (check(endpoint, question) == Fault::kNone) return &endpoint;
    random = next(random);
  }
  return nullptr;
}

// Looks at all: of the nearest ones each with the chance of its weight. One pass: whoever comes takes the place of the chosen one with the
// chance of his weight in the sum so far.
const ServiceEndpoint* search(const ServiceState& state, const Question& question, std::uint64_t random) {
  std::optional<unsigned> nearest;
  std::uint64_t total = 0;
  const ServiceEndpoint* chosen = nullptr;
  state.endpoints.for_each([&](const std::string&, const ServiceEndpoint& endpoint) {
    if (check(endpoint, question) != Fault::kNone) return;
    const auto near = rank(*endpoint.workload, question);
    if (!near || (nearest && *near < *nearest)) return;
    if (!nearest || *near > *nearest) {
      nearest = near;
      total = 0;
      chosen = nullptr;
    }
    const std::uint64_t weight = endpoint.workload->capacity;
    total += weight;
    random = next(random);
    if (weight != 0 && below(random, total) < weight) chosen = &endpoint;
  });
  return chosen;
}

// What ruled them all out, for the error's text.
std::string explain(const ServiceState& state, const Question& question) {
  std::size_t unhealthy = 0, port = 0, address = 0, elsewhere = 0;
  state.endpoints.for_each([&](const std::string&, const ServiceEndpoint& endpoint) {
    switch (check(endpoint, question)) {
      case Fault::kUnhealthy: ++unhealthy; break;
      case Fault::kPort: ++port; break;
      case Fault::kAddress: ++address; break;
      case Fault::kNone: ++elsewhere; break;
    }
  });
  std::string out;
  const auto add = [&](std::size_t count, std::string_view what) {
    if (count) out += culvert::format("{}{} {}", out.empty() ? "" : ", ", count, what);
  };
  add(unhealthy, "unhealthy");
  add(port, "without that port");
  add(address, "without a usable address");
  add(elsewhere,
      question.balancing.mode == Mode::kStrict ? "outside the locality that the service is bound to" : "with weight 0");
  return out.empty() ? "it has none" : out;
}

}  // namespace

std::uint16_t target_port(const Service& service, const PortMap& endpoint, std::uint16_t service_port) {
  if (const auto own = endpoint.find(service_port); own != endpoint.end() && own->second != 0) return own->second;
  const ServicePort* port = service.port(service_port);
  return port ? port->target_port : 0;
}

namespace {

const LoadBalancing& balancing_of(const Service& service) {
  static const LoadBalancing kStandard;
  return service.load_balancing ? *service.load_balancing : kStandard;
}

std::unexpected<Error> no_port(const Service& service, std::uint16_t port) {
  return failure(culvert::format("service {} has no port {}", service.key(), port), Reason::kNoService);
}

std::unexpected<Error> nobody(const ServiceState& state, const Question& question) {
  return failure(culvert::format("no healthy endpoint of service {} for port {} ({})", state.service->key(),
                                 question.requested.port, explain(state, question)),
                 Reason::kNoEndpoint);
}

}  // namespace

Result<Picked> pick(const ServiceState& state, const Workload& source, const Endpoint& requested, std::uint64_t random) {
  const Service& service = *state.service;
  const Question question{service, source, requested, balancing_of(service)};
  if (!service.port(requested.port)) return no_port(service, requested.port);
  const ServiceEndpoint* endpoint = guess(state, question, random);
  if (!endpoint) endpoint = search(state, question, random);
  if (!endpoint) return nobody(state, question);
  return picked(*endpoint, question);
}

Result<std::vector<Picked>> candidates(const ServiceState& state, const Workload& source, const Endpoint& requested) {
  const Service& service = *state.service;
  const Question question{service, source, requested, balancing_of(service)};
  if (!service.port(requested.port)) return no_port(service, requested.port);
  std::map<std::string, const ServiceEndpoint*> nearest_ones;  // in an order that does not depend on hashes
  std::optional<unsigned> nearest;
  state.endpoints.for_each([&](const std::string& uid, const ServiceEndpoint& endpoint) {
    if (check(endpoint, question) != Fault::kNone) return;
    const auto near = rank(*endpoint.workload, question);
    if (!near || (nearest && *near < *nearest)) return;
    if (!nearest || *near > *nearest) nearest_ones.clear();
    nearest = near;
    nearest_ones.emplace(uid, &endpoint);
  });
  std::erase_if(nearest_ones, [](const auto& one) { return one.second->workload->capacity == 0; });
  if (nearest_ones.empty()) return nobody(state, question);
  std::vector<Picked> out;
  for (const auto& [uid, endpoint] : nearest_ones) out.push_back(picked(*endpoint, question));
  return out;
}

}  // namespace culvert::model
