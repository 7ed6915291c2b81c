#pragma once
// Where a connection goes: outbound from a pod (protocols.md §6.1) and inbound from a tunnel (§1.5). Pure functions of a snapshot.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/address.h"
#include "common/base/identity.h"
#include "common/base/result.h"
#include "common/model/mesh.h"

namespace culvert::model {

inline constexpr std::uint16_t kHbonePort = 15008;

// Ports of ztunnel itself: 15001, 15006, 15008, and 15053 for DNS. Nobody goes there through it: what it dials would come back to it.
bool is_illegal_port(std::uint16_t port);

// What a CONNECT asks for: an address, or a hostname, and a port.
struct Authority {
  std::string hostname{};  // empty: an address
  IpAddress address{};
  std::uint16_t port = 0;

  // "10.0.0.1:80", "[fd00::1]:80", "name.ns.svc:80". Fails with kBadRequest.
  static Result<Authority> parse(std::string_view text);
  std::string text() const;

  friend bool operator==(const Authority&, const Authority&) = default;
};

// How one outbound connection leaves the node.
struct Plan {
  enum class Via : std::uint8_t { kTunnel, kPlaintext };
  Via via = Via::kPlaintext;
  Endpoint dial{};                 // where our TCP connection goes
  Endpoint upstream{};             // the application's own address and port at the far end
  Authority target{};              // kTunnel: what the far end is asked for
  std::vector<Identity> expect{};  // kTunnel: identities we accept there, never empty; sorted
  WorkloadRef workload{};          // the far end; null when it is not in the mesh
  ServiceRef service{};            // the service that was addressed; null when none
  bool service_addressed = false;
};

// Decides the way of a connection that an application in `source` opened to `destination`. `random` is uniform over 64 bits.
// A destination that the mesh does not know is no error: it leaves in plaintext to where it was going.
// Fails with kIllegalPort, kNoEndpoint, kNoService (a port that the service does not have), kNotYet (a waypoint, another network).
Result<Plan> plan_outbound(const Mesh& mesh, const Workload& source, const Endpoint& destination, std::uint64_t random);

// What plan_outbound may answer, whatever the chance: one for each endpoint that it may pick. Never empty.
std::vector<Result<Plan>> plans_outbound(const Mesh& mesh, const Workload& source, const Endpoint& destination);

// Where one inbound tunnel stream goes.
struct InboundPlan {
  Endpoint upstream{};   // in the pod: its own address, the final port
  ServiceRef service{};  // the service it was addressed by, when known
};

// Decides where a CONNECT for `authority` goes that arrived for `own`, on a tunnel whose TCP destination was `tunnel_address`.
// `forwarded_host` is the `host` of the Forwarded header (telemetry only), may be empty.
// Fails with kBadRequest (not addressed to this workload), kNoService (unknown hostname or port), kIllegalPort, kNotYet.
Result<InboundPlan> plan_inbound(const Mesh& mesh, const Workload& own, const IpAddress& tunnel_address,
                                 const Authority& authority, std::string_view forwarded_host = {});

// The service that a connection to `port` of this workload most likely was addressed by, for telemetry only: the hinted one when the
// workload belongs to it, else the first of its services with that target port; null when none fits.
ServiceRef guess_service(const Mesh& mesh, const Workload& workload, std::uint16_t port, std::string_view hint_hostname = {});

}  // namespace culvert::model
