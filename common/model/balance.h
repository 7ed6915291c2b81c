#pragma once
// Which endpoint of a service a connection goes to (protocols.md §6.3). Pure: the caller brings the chance.

#include <cstdint>
#include <vector>

#include "common/base/address.h"
#include "common/base/result.h"
#include "common/model/mesh.h"

namespace culvert::model {

struct Picked {
  WorkloadRef workload{};
  IpAddress address{};     // none when the workload is in another network and reached by its gateway, or by its hostname
  std::uint16_t port = 0;  // of the endpoint
};

// Chooses among the usable endpoints of `state` for a connection to `requested` (an address and port of the service).
// `random` is uniform over all 64 bits. Fails with kNoEndpoint (nobody is left; the text says what ruled them out) or
// kNoService (the service has no such port). `state.service` must not be null and not be in passthrough mode.
Result<Picked> pick(const ServiceState& state, const Workload& source, const Endpoint& requested, std::uint64_t random);

// Everybody whom pick() may choose, in the order of their uids; never empty. Fails as pick() does.
Result<std::vector<Picked>> candidates(const ServiceState& state, const Workload& source, const Endpoint& requested);

// The port of an endpoint behind a service port: its own mapping, else the service's target port; 0 when there is none.
std::uint16_t target_port(const Service& service, const PortMap& endpoint, std::uint16_t service_port);

}  // namespace culvert::model
