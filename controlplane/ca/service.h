#pragma once
// istio.v1.auth.IstioCertificateService: a caller that has proved who it is gets the certificates that it may have (protocols.md §4).
// Each certificate is one line in the log, with no secret in it. Refusals tell the caller little and the log all, a line for each caller every ten
// seconds. A call that says nothing ends after kPatience; a caller has a bounded number of calls, and of certificates in a time. On the control thread.

#include <chrono>
#include <map>
#include <memory>
#include <string>

#include "common/derive/objects.h"
#include "common/net/loop.h"
#include "common/rpc/server.h"
#include "common/telemetry/registry.h"
#include "controlplane/ca/issue.h"
#include "controlplane/ca/limits.h"
#include "controlplane/ca/signer.h"

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
  static constexpr std::size_t kMostWaiting = 100;  // calls of one caller that are not answered yet
  static constexpr std::size_t kMostSigning = 500;  // requests at one time that a signer elsewhere has not answered
  // Certificates of one caller: a node starts with all that its pods need, and then renews them; a pod has but one.
  static constexpr Quota::Rate kNodeRate{.burst = 500, .per_second = 20};
  static constexpr Quota::Rate kPodRate{.burst = 20, .per_second = 1};
  static constexpr Quota::Rate kAuthorityRate{.burst = 20'000, .per_second = 5'000};

  CaService(net::Loop& loop, Signer& signer, const derive::Objects& objects, IssuePolicy policy, telemetry::Registry& registry);

  void serve(const rpc::CallRef& call, const Caller& caller);
  // What identities are of from now on.
  void sign_for(const std::string& trust_domain) { policy_.trust_domain = trust_domain; }
  // Somebody else signs, who outlives this.
  void sign_by(Signer& signer) { signer_ = &signer; }

 private:
  struct Refusal {
    int code = 0;
    std::string told;    // to the caller
    std::string reason;  // for the log
  };
  struct Waiting;
  void asked(const rpc::CallRef& call, const std::string& message, const Caller& caller);
  std::expected<LeafRequest, Refusal> judge(const std::string& message, const Caller& caller);
  net::Task<> issue(rpc::CallRef call, Caller caller, LeafRequest request);
  void refuse(rpc::ServerCall& call, const Caller& caller, const Refusal& refusal);

  net::Loop& loop_;
  Signer* signer_;
  const derive::Objects& objects_;
  IssuePolicy policy_;
  telemetry::Counter& requests_;
  telemetry::Counter& issued_;
  telemetry::Counter& refused_;
  telemetry::Counter& unreadable_;
  telemetry::Counter& failed_;
  telemetry::Counter& throttled_;
  std::map<std::string, std::size_t> waiting_;  // by caller
  std::size_t signing_ = 0;
  Quota quota_;
  Quiet quiet_;
};

}  // namespace culvert::controlplane
