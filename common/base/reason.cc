#include "common/base/reason.h"

namespace culvert {

std::string_view name(Reason reason) {
  switch (reason) {
    case Reason::kNone: return "none";
    case Reason::kUnknownSource: return "unknown_source";
    case Reason::kIllegalPort: return "illegal_port";
    case Reason::kNoEndpoint: return "no_endpoint";
    case Reason::kNoService: return "no_service";
    case Reason::kNotYet: return "not_yet";
    case Reason::kPolicyDenied: return "policy_denied";
    case Reason::kPolicyUnknown: return "policy_unknown";
    case Reason::kPolicyInvalid: return "policy_invalid";
    case Reason::kPolicyChanged: return "policy_changed";
    case Reason::kConnectRefused: return "connect_refused";
    case Reason::kConnectTimeout: return "connect_timeout";
    case Reason::kConnectFailed: return "connect_failed";
    case Reason::kNetworkPolicy: return "network_policy";
    case Reason::kTlsFailure: return "tls_failure";
    case Reason::kIdentityError: return "identity_error";
    case Reason::kHttp2Failure: return "http2_failure";
    case Reason::kHttpStatus: return "http_status";
    case Reason::kBadRequest: return "bad_request";
    case Reason::kPeerReset: return "peer_reset";
    case Reason::kTunnelLost: return "tunnel_lost";
    case Reason::kPodRemoved: return "pod_removed";
    case Reason::kDraining: return "draining";
    case Reason::kInternal: return "internal";
  }
  return "internal";
}

std::string_view response_flag(Reason reason) {
  switch (reason) {
    case Reason::kNone: return "-";
    case Reason::kPolicyDenied:
    case Reason::kPolicyUnknown:
    case Reason::kPolicyInvalid:
    case Reason::kPolicyChanged: return "DENY";
    case Reason::kNetworkPolicy: return "NETWORK_POLICY";
    case Reason::kTlsFailure: return "TLS_FAILURE";
    case Reason::kIdentityError: return "IDENTITY_ERROR";
    case Reason::kHttp2Failure: return "H2_HANDSHAKE_FAILURE";
    default: return "CONNECT";
  }
}

}  // namespace culvert
