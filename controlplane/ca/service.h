#pragma once
// istio.v1.auth.IstioCertificateService: a caller that has proved to be a node gets certificates for the pods of that node (protocols.md §4).
// Each certificate is one line in the log, with no secret in it. Refusals tell the caller little and the log all. On the control thread.

#include <string>

#include "common/derive/objects.h"
#include "common/rpc/server.h"
#include "common/telemetry/registry.h"
#include "common/tls/authority.h"
#include "controlplane/ca/issue.h"

namespace culvert::controlplane {

inline constexpr std::string_view kCreateCertificatePath = "/istio.v1.auth.IstioCertificateService/CreateCertificate";

// The request and the answer as values, and their bytes.
struct CertificateRequest {
  std::string csr_pem;
  std::int64_t lifetime_seconds = 0;
  std::string identity;  // metadata ImpersonatedIdentity
};
Result<CertificateRequest> decode_certificate_request(std::string_view bytes);
std::string encode_certificate_response(std::span<const std::string> chain);

class CaService {
 public:
  CaService(const tls::Authority& authority, const derive::Objects& objects, IssuePolicy policy, telemetry::Registry& registry);

  void serve(rpc::CallRef call, const std::string& node);

 private:
  struct Refusal {
    int code = 0;
    std::string told;    // to the caller
    std::string reason;  // for the log
  };
  std::expected<std::string, Refusal> answer(const std::string& message, const std::string& node, const std::string& peer);

  const tls::Authority& authority_;
  const derive::Objects& objects_;
  IssuePolicy policy_;
  telemetry::Counter& requests_;
  telemetry::Counter& issued_;
  telemetry::Counter& refused_;
  telemetry::Counter& unreadable_;
  telemetry::Counter& failed_;
};

}  // namespace culvert::controlplane
