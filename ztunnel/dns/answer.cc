#include "ztunnel/dns/answer.h"

#include <algorithm>
#include <utility>

#include "ztunnel/dns/names.h"

namespace culvert::ztunnel::dns {
namespace {

struct Found {
  model::ServiceRef service;
  bool stripped = false;  // a search domain was taken off
  std::string name;       // the name without it
};

std::optional<Found> find(const model::Mesh& mesh, const model::Workload& client, std::string_view name,
                          std::string_view cluster_domain) {
  for (auto& candidate : candidates(name, client.name_space, cluster_domain)) {
    auto services = mesh.services_by_hostname(candidate.name, client.name_space);
    if (services.empty()) {
      for (const auto& wildcard : wildcards(candidate.name)) {
        services = mesh.services_by_hostname(wildcard, client.name_space);
        if (!services.empty()) break;
      }
    }
    if (!services.empty()) return Found{std::move(services.front()), candidate.stripped, std::move(candidate.name)};
  }
  return std::nullopt;
}

bool is_headless_of_cluster(const model::Service& service, std::string_view cluster_domain) {
  const std::string_view host = service.hostname;
  constexpr std::string_view kServices = ".svc.";
  return service.vips.empty() && host.size() > cluster_domain.size() + kServices.size() && host.ends_with(cluster_domain) &&
         host.substr(0, host.size() - cluster_domain.size()).ends_with(kServices);
}

std::vector<IpAddress> endpoints(const model::ServiceState& state, const model::Workload& client) {
  std::vector<IpAddress> out;
  const auto& balancing = state.service->load_balancing;
  const bool all = balancing && balancing->health_policy == model::LoadBalancing::HealthPolicy::kAllowAll;
  state.endpoints.for_each([&](const std::string&, const model::ServiceEndpoint& endpoint) {
    const model::Workload& workload = *endpoint.workload;
    if (workload.network != client.network) return;
    if (!all && workload.health != model::Health::kHealthy) return;
    out.insert(out.end(), workload.addresses.begin(), workload.addresses.end());
  });
  return out;
}

bool has_waypoint(const model::Service& service) {
  return service.waypoint ||
         std::ranges::any_of(service.weighted_waypoints, [](const auto& weighted) { return weighted.weight > 0; });
}

// Nothing when the service has no addresses that we may give out at all. No records when it has none of its own and is to be reached through a
// waypoint: with those that its resolver knows a client would pass the waypoint by, and nobody could tell.
std::optional<std::vector<IpAddress>> addresses(const model::Mesh& mesh, const model::Service& service,
                                                const model::Workload& client, std::string_view cluster_domain) {
  std::vector<IpAddress> out;
  for (const model::Vip& vip : service.vips) {
    if (vip.network == client.network && vip.is_host()) out.push_back(vip.range.address);
  }
  if (!out.empty()) return out;
  if (!is_headless_of_cluster(service, cluster_domain)) return has_waypoint(service) ? std::optional(out) : std::nullopt;
  const model::ServiceState* state = mesh.service(service.key());
  return state != nullptr && state->service ? endpoints(*state, client) : out;
}

// A Fisher-Yates shuffle: every client starts with another address.
void shuffle(std::vector<IpAddress>& addresses, std::uint64_t random) {
  for (std::size_t left = addresses.size(); left > 1; --left) {
    random = random * 6364136223846793005ULL + 1442695040888963407ULL;
    std::swap(addresses[left - 1], addresses[(random >> 33) % left]);
  }
}

}  // namespace

std::optional<Answer> answer(const model::Mesh& mesh, const model::Workload& client, const Query& query,
                             std::string_view cluster_domain, std::uint64_t random) {
  if (query.type != kTypeA && query.type != kTypeAaaa) return std::nullopt;
  const auto found = find(mesh, client, query.name, cluster_domain);
  if (!found) return std::nullopt;
  auto all = addresses(mesh, *found->service, client, cluster_domain);
  if (!all) return std::nullopt;

  const bool v4 = query.type == kTypeA;
  std::erase_if(*all, [v4](const IpAddress& address) { return address.is_v4() != v4; });
  shuffle(*all, random);
  Answer out;
  out.addresses = std::move(*all);
  if (found->stripped && !out.addresses.empty()) {
    const bool wildcard = found->service->hostname.starts_with('*');
    out.canonical_name = wildcard ? found->name : found->service->hostname;
  }
  return out;
}

}  // namespace culvert::ztunnel::dns
