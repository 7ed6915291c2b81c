#pragma once
// istio.v1.auth.IstioCertificateService: a caller that has proved who it is gets the certificates that it may have (protocols.md §4).
// Each certificate is one line in the log, with no secret in it. Refusals tell the caller little and the log all. A call that says nothing ends after
// kPatience, and a caller has a bounded number of them. On the control thread.

#include <chrono>
#include <map>
#include <memory>
#include <string>

#include "common/derive/objects.h"
#include "common/net/loop.h"
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
  static constexpr std::chrono::seconds kPatience{10};
  static constexpr std::size_t kMostWaiting = 100;  // calls of one caller that have not said what they want yet

  // `roots_pem`: what the caller is to trust, the end of each answer.
  CaService(net::Loop& loop, const tls::Authority& authority, std::string roots_pem, const derive::Objects& objects,
            IssuePolicy policy, telemetry::Registry& registry);

  void serve(rpc::CallRef call, const Caller& caller);

 private:
  struct Refusal {
    int code = 0;
    std::string told;    // to the caller
    std::string reason;  // for the log
  };
  struct Waiting;
  void answer(rpc::ServerCall& call, const std::string& message, const Caller& caller);
  std::expected<std::string, Refusal> answer_to(const std::string& message, const Caller& caller, const std::string& peer);

  net::Loop& loop_;
  const tls::Authority& authority_;
  const std::string roots_pem_;
  const derive::Objects& objects_;
  IssuePolicy policy_;
  telemetry::Counter& requests_;
  telemetry::Counter& issued_;
  telemetry::Counter& refused_;
  telemetry::Counter& unreadable_;
  telemetry::Counter& failed_;
  std::map<std::string, std::size_t> waiting_;  // by caller
};

}  // namespace culvert::controlplane
