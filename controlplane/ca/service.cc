#include "controlplane/ca/service.h"

#include <span>
#include <utility>
#include <vector>

#include "common/base/log.h"
#include "common/net/timer.h"
#include "proto/ca.pb.h"

namespace culvert::controlplane {
namespace {

constexpr int kInvalidArgument = 3;
constexpr int kDeadlineExceeded = 4;
constexpr int kResourceExhausted = 8;
constexpr int kInternal = 13;
constexpr int kUnauthenticated = 16;
constexpr std::string_view kOpaque = "request authenticate failure";  // what istiod says, whatever the reason
constexpr std::size_t kMostOfRequest = 64 << 10;

}  // namespace

Result<CertificateRequest> decode_certificate_request(std::string_view bytes) {
  istio::v1::auth::IstioCertificateRequest message;
  if (bytes.size() > kMostOfRequest) return failure("the request is too large");
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return failure("the request is not a protobuf message");
  CertificateRequest request{message.csr(), message.validity_duration(), ""};
  const auto& fields = message.metadata().fields();
  if (const auto found = fields.find("ImpersonatedIdentity"); found != fields.end())
    request.identity = found->second.string_value();
  if (const auto found = fields.find("CertSigner"); found != fields.end())
    return failure("CertSigner: the signer " + found->second.string_value() +
                   " is asked for, and whoever asks cannot choose one (culvertd's K8S_SIGNER is for all)");
  return request;
}

std::string encode_certificate_response(std::span<const std::string> chain) {
  istio::v1::auth::IstioCertificateResponse message;
  for (const std::string& pem : chain) message.add_cert_chain(pem);
  return message.SerializeAsString();
}

// A call that has not said what it wants: counted, and with an end.
struct CaService::Waiting {
  Waiting(CaService& in, Caller of) : service(in), caller(std::move(of)), deadline(in.loop_) {
    ++service.waiting_[caller.text()];
  }
  ~Waiting() {
    if (const auto count = service.waiting_.find(caller.text()); --count->second == 0) service.waiting_.erase(count);
  }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

  CaService& service;
  Caller caller;
  net::Timer deadline;
};

CaService::CaService(net::Loop& loop, Signer& signer, const derive::Objects& objects, IssuePolicy policy,
                     telemetry::Registry& registry)
    : loop_(loop),
      signer_(&signer),
      objects_(objects),
      policy_(std::move(policy)),
      requests_(registry.counter("citadel_server_csr_count", "Certificate requests received.")),
      issued_(registry.counter("citadel_server_success_cert_issuance_count", "Certificates issued.")),
      refused_(registry.counter("citadel_server_authentication_failure_count",
                                "Requests of callers that may not have what they ask for.")),
      unreadable_(registry.counter("citadel_server_csr_parsing_err_count", "Requests whose CSR cannot be read.")),
      failed_(registry.counter("citadel_server_csr_sign_err_count", "Requests that could not be signed.")),
      throttled_(registry.counter("culvert_csr_throttled_total", "Requests of callers that ask for too many certificates.")) {}

void CaService::serve(const rpc::CallRef& call, const Caller& caller) {
  if (const auto count = waiting_.find(caller.text()); count != waiting_.end() && count->second >= kMostWaiting)
    return call->finish({.code = kResourceExhausted, .text = "too many calls at one time"});
  // The call keeps its handlers, and they what they need, until it ends; they must not keep the call, or neither would ever go.
  auto waiting = std::make_shared<Waiting>(*this, caller);
  const std::weak_ptr<rpc::ServerCall> weak(call);
  waiting->deadline.arm(kPatience, [weak] {
    if (const rpc::CallRef silent = weak.lock()) silent->finish({.code = kDeadlineExceeded, .text = "no request came"});
  });
  call->accept({.on_message =
                    [this, weak, waiting](const std::string& message) {
                      waiting->deadline.cancel();
                      if (const rpc::CallRef asking = weak.lock()) asked(asking, message, waiting->caller);
                    },
                .on_sent = {},
                .on_end = {},
                .one_message = true});
}

void CaService::asked(const rpc::CallRef& call, const std::string& message, const Caller& caller) {
  auto request = judge(message, caller);
  if (!request) return refuse(*call, caller, request.error());
  loop_.spawn(issue(call, caller, std::move(*request)));
}

void CaService::refuse(rpc::ServerCall& call, const Caller& caller, const Refusal& refusal) {
  if (const auto left_out = quiet_.say(caller.text(), net::Clock::now()))
    log::warn("ca", "refused a certificate: " + refusal.reason,
              {log::field("caller", caller.text()), log::field("peer", call.peer().text()),
               log::field("not_logged_before", *left_out)});
  call.finish({.code = refusal.code, .text = refusal.told});
}

// May this caller have that? Before anything that costs, whether it asks too often.
std::expected<LeafRequest, CaService::Refusal> CaService::judge(const std::string& message, const Caller& caller) {
  requests_.add();
  const auto no = [](telemetry::Counter& counter, int code, std::string told, std::string reason) {
    counter.add();
    return std::unexpected(Refusal{code, std::move(told), std::move(reason)});
  };
  const Quota::Rate& rate = caller.any ? kAuthorityRate : caller.node.empty() ? kPodRate : kNodeRate;
  if (signing_ >= kMostSigning || !quota_.take(caller.text(), rate, net::Clock::now())) {
    const std::string why = "too many certificates are asked for (try again later)";
    return no(throttled_, kResourceExhausted, why, why);
  }
  auto asked_for = decode_certificate_request(message);
  if (!asked_for) return no(unreadable_, kInvalidArgument, asked_for.error().text, asked_for.error().text);
  auto identity = may_have(caller, asked_for->identity, objects_, policy_);
  if (!identity) return no(refused_, kUnauthenticated, std::string(kOpaque), identity.error().text);
  auto csr = tls::CsrRequest::parse(asked_for->csr_pem);
  if (!csr) return no(unreadable_, kInvalidArgument, "CSR parsing error", csr.error().text);
  const auto lifetime = lifetime_of(asked_for->lifetime_seconds, policy_);
  if (!lifetime) return no(refused_, kInvalidArgument, lifetime.error().text, lifetime.error().text);
  return LeafRequest{
      .csr_pem = std::move(asked_for->csr_pem), .csr = std::move(*csr), .identity = std::move(*identity), .lifetime = *lifetime};
}

// When the service goes, so does the loop: what is under way then is never resumed.
net::Task<> CaService::issue(rpc::CallRef call, Caller caller, LeafRequest request) {
  const std::string identity = request.identity.uri();
  ++signing_;
  auto leaf = co_await signer_->sign(std::move(request));
  --signing_;
  if (!leaf) {
    failed_.add();
    co_return refuse(*call, caller, {kInternal, "CSR signing error", leaf.error().text});
  }
  issued_.add();
  log::audit("ca", "issued a certificate",
             {log::field("identity", identity), log::field("caller", caller.text()), log::field("serial", leaf->serial),
              log::field("expires", leaf->expires), log::field("peer", call->peer().text())});
  leaf->chain.push_back(std::move(leaf->roots_pem));
  call->answer(encode_certificate_response(leaf->chain));
}

}  // namespace culvert::controlplane
