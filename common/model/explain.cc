#include "common/model/explain.h"

#include <algorithm>
#include <map>
#include <utility>

#include "common/base/format.h"
#include "common/model/balance.h"

namespace culvert::model {
namespace {

bool in_mesh(const Workload& workload) { return workload.protocol == TunnelProtocol::kHbone; }

// The address of that family: what the client's own kernel chooses.
IpAddress source_address(const Workload& source, const IpAddress& to) {
  const auto found = std::ranges::find(source.addresses, to.is_v4(), &IpAddress::is_v4);
  return found == source.addresses.end() ? IpAddress() : *found;
}

Plan plain(const Endpoint& to, WorkloadRef workload, ServiceRef service) {
  Plan plan;
  plan.dial = plan.upstream = to;
  plan.workload = std::move(workload);
  plan.service_addressed = service != nullptr;
  plan.service = std::move(service);
  return plan;
}

// Without a ztunnel at the source: the kernel's way, to any endpoint that is ready, whatever the mesh would prefer.
std::vector<Result<Plan>> plans_outside(const Mesh& mesh, const Workload& source, const Endpoint& destination) {
  const NetworkAddress key{source.network, destination.address};
  const ServiceState* state = mesh.kubernetes_service_by_vip(key);
  if (!state) return {plain(destination, mesh.by_address(key), nullptr)};
  std::map<std::string, Plan> plans;
  state->endpoints.for_each([&](const std::string& uid, const ServiceEndpoint& endpoint) {
    const std::uint16_t port = target_port(*state->service, endpoint.ports, destination.port);
    const IpAddress address = source_address(*endpoint.workload, destination.address);  // of the same family
    // The kernel's rules are made from this cluster's endpoints alone.
    if (endpoint.workload->network != source.network) return;
    if (port == 0 || address.is_none() || endpoint.workload->health != Health::kHealthy) return;
    plans.emplace(uid, plain({address, port}, endpoint.workload, state->service));
  });
  if (plans.empty())
    return {failure(culvert::format("no ready endpoint of service {} for port {}", state->service->key(), destination.port),
                    Reason::kNoEndpoint)};
  std::vector<Result<Plan>> out;
  for (auto& [uid, plan] : plans) out.emplace_back(std::move(plan));
  return out;
}

void judge(const Mesh& mesh, const Workload& far, Route& route) { route.verdict = admit(mesh, far, route.peer, route.arrives); }

// The far end of a tunnel: its ztunnel finds the application by what the CONNECT asks for, then asks the policies.
void arrive_by_tunnel(const Mesh& mesh, const Workload& source, Route& route) {
  const Workload& far = *route.plan->workload;
  route.peer.identity = source.identity();
  if (far.trust_domain != source.trust_domain) {
    route.refused = {
        culvert::format("the far end trusts identities of {} alone, not {}", far.trust_domain, source.identity().uri()),
        Reason::kTlsFailure};
    return;
  }
  const auto authority = Authority::parse(route.plan->target.text());
  const bool addressed = route.plan->service && route.plan->service_addressed;
  const auto inbound = authority ? plan_inbound(mesh, far, route.plan->dial.address, *authority,
                                                addressed ? route.plan->service->hostname : std::string())
                                 : std::unexpected(authority.error());
  if (!inbound) {
    route.refused = inbound.error();
    return;
  }
  route.arrives = inbound->upstream;
  if (!far.native_tunnel) judge(mesh, far, route);  // else it is its own judge
}

void arrive_in_plaintext(const Mesh& mesh, const Workload& source, Route& route) {
  const WorkloadRef& far =
      route.plan->workload ? route.plan->workload : mesh.by_address({source.network, route.plan->dial.address});
  if (!far || !in_mesh(*far) || far->native_tunnel) return;
  if (is_illegal_port(route.arrives.port)) {
    route.refused = {"the destination " + route.arrives.text() + " is a port of ztunnel itself", Reason::kIllegalPort};
    return;
  }
  judge(mesh, *far, route);
}

}  // namespace

std::string Route::text() const {
  if (!plan) return plan.error().text;
  if (refused.reason != Reason::kNone) return refused.text;
  return verdict ? verdict->text() : "nobody of the mesh judges it";
}

std::vector<Route> explain(const Mesh& mesh, const Workload& source, const Endpoint& destination) {
  std::vector<Route> out;
  for (Result<Plan>& plan :
       in_mesh(source) ? plans_outbound(mesh, source, destination) : plans_outside(mesh, source, destination)) {
    Route& route = out.emplace_back(Route{.plan = std::move(plan)});
    if (!route.plan) continue;
    route.arrives = route.plan->upstream;
    route.peer.source = source_address(source, route.plan->dial.address);
    if (route.plan->via == Plan::Via::kTunnel) arrive_by_tunnel(mesh, source, route);
    else arrive_in_plaintext(mesh, source, route);
  }
  return out;
}

}  // namespace culvert::model
