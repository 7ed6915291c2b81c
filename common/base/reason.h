#pragma once
// Why a connection ended: one closed list that is at once the metric label, the access-log field and what tests assert.

#include <cstdint>
#include <string_view>

namespace culvert {

enum class Reason : std::uint8_t {
  kNone,            // ended as the applications wished
  kUnknownSource,   // the pod's own workload is not in the configuration
  kIllegalPort,     // addressed to one of ztunnel's own ports
  kNoEndpoint,      // the destination is known, but has no healthy endpoint
  kNoService,       // the authority names a service or port that does not exist
  kNotYet,          // needs what this version does not do yet (waypoint, other network): never passed through
  kPolicyDenied,    // a DENY policy matched, or ALLOW policies exist and none did
  kPolicyUnknown,   // a policy that the workload names did not arrive in time
  kPolicyInvalid,   // a policy of the namespace cannot be read
  kPolicyChanged,   // was allowed, and a new configuration no longer does
  kConnectRefused,  // the peer answered our connection with RST
  kConnectTimeout,  // the peer did not answer our connection
  kConnectFailed,   // any other failure to connect
  kNetworkPolicy,   // connecting to port 15008 timed out: most likely a NetworkPolicy forbids it
  kTlsFailure,      // the TLS handshake failed, or the peer's identity is not the expected one
  kIdentityError,   // no certificate for our own identity
  kHttp2Failure,    // the peer broke HTTP/2
  kHttpStatus,      // the tunnel's far end refused with another status
  kBadRequest,      // the peer's CONNECT is not one that we can serve
  kPeerReset,       // the application on our side, or the tunnel's far end, reset the connection
  kTunnelLost,      // the tunnel broke under the connection
  kPodRemoved,      // the pod left the mesh or the node
  kDraining,        // ztunnel is shutting down
  kInternal,        // a limit of ours: descriptors, ports, memory
};

// The name in logs and in `culvert_reason` ("policy_denied").
std::string_view name(Reason reason);

// Istio's `response_flags` label for the same end: -, DENY, CONNECT, TLS_FAILURE, H2_HANDSHAKE_FAILURE, NETWORK_POLICY, IDENTITY_ERROR.
std::string_view response_flag(Reason reason);

}  // namespace culvert
