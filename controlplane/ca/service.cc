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
constexpr std::size_t kMostBytes = 64 << 10;

}  // namespace

Result<CertificateRequest> decode_certificate_request(std::string_view bytes) {
  istio::v1::auth::IstioCertificateRequest message;
  if (bytes.size() > kMostBytes) return failure("the request is too large");
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return failure("the request is not a protobuf message");
  CertificateRequest request{message.csr(), message.validity_duration(), ""};
  const auto& fields = message.metadata().fields();
  if (const auto found = fields.find("ImpersonatedIdentity"); found != fields.end())
    request.identity = found->second.string_value();
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

CaService::CaService(net::Loop& loop, const tls::Authority& authority, std::string roots_pem, const derive::Objects& objects,
                     IssuePolicy policy, telemetry::Registry& registry)
    : loop_(loop),
      authority_(authority),
      roots_pem_(std::move(roots_pem)),
      objects_(objects),
      policy_(std::move(policy)),
      requests_(registry.counter("citadel_server_csr_count", "Certificate requests received.")),
      issued_(registry.counter("citadel_server_success_cert_issuance_count", "Certificates issued.")),
      refused_(registry.counter("citadel_server_authentication_failure_count",
                                "Requests of callers that may not have what they ask for.")),
      unreadable_(registry.counter("citadel_server_csr_parsing_err_count", "Requests whose CSR cannot be read.")),
      failed_(registry.counter("citadel_server_csr_sign_err_count", "Requests that could not be signed.")) {
  const auto expiry = [&authority] {
    return std::chrono::duration<double>(authority.certificate().not_after().time_since_epoch()).count();
  };
  registry.observe("citadel_server_root_cert_expiry_timestamp", "When the root certificate ends, in seconds since 1970.",
                   telemetry::Kind::kGauge, expiry);
  registry.observe(
      "citadel_server_root_cert_expiry_seconds", "Seconds until the root certificate ends.", telemetry::Kind::kGauge,
      [expiry] { return expiry() - std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); });
}

void CaService::serve(rpc::CallRef call, const Caller& caller) {
  if (const auto count = waiting_.find(caller.text()); count != waiting_.end() && count->second >= kMostWaiting)
    return call->finish({.code = kResourceExhausted, .text = "too many calls that ask for nothing"});
  // The call keeps its handlers, and they what they need, until it ends; they must not keep the call, or neither would ever go.
  auto waiting = std::make_shared<Waiting>(*this, caller);
  const std::weak_ptr<rpc::ServerCall> weak(call);
  waiting->deadline.arm(kPatience, [weak] {
    if (const rpc::CallRef silent = weak.lock()) silent->finish({.code = kDeadlineExceeded, .text = "no request came"});
  });
  call->accept({.on_message =
                    [this, weak, waiting](const std::string& message) {
                      if (const rpc::CallRef asked = weak.lock()) answer(*asked, message, waiting->caller);
                    },
                .on_sent = {},
                .on_end = {}});
}

void CaService::answer(rpc::ServerCall& call, const std::string& message, const Caller& caller) {
  auto answered = answer_to(message, caller, call.peer());
  if (answered) return call.answer(std::move(*answered));
  const Refusal& refusal = answered.error();
  log::warn("ca", "refused a certificate: " + refusal.reason,
            {log::field("caller", caller.text()), log::field("peer", call.peer())});
  call.finish({.code = refusal.code, .text = refusal.told});
}

std::expected<std::string, CaService::Refusal> CaService::answer_to(const std::string& message, const Caller& caller,
                                                                    const std::string& peer) {
  requests_.add();
  const auto refuse = [](telemetry::Counter& counter, int code, std::string told, std::string reason) {
    counter.add();
    return std::unexpected(Refusal{code, std::move(told), std::move(reason)});
  };
  const auto request = decode_certificate_request(message);
  if (!request) return refuse(unreadable_, kInvalidArgument, request.error().text, request.error().text);
  const auto identity = may_have(caller, request->identity, objects_, policy_);
  if (!identity) return refuse(refused_, kUnauthenticated, std::string(kOpaque), identity.error().text);
  const auto lifetime = lifetime_of(request->lifetime_seconds, policy_);
  if (!lifetime) return refuse(refused_, kInvalidArgument, lifetime.error().text, lifetime.error().text);
  const auto csr = tls::CsrRequest::parse(request->csr_pem);
  if (!csr) return refuse(unreadable_, kInvalidArgument, "CSR parsing error", csr.error().text);
  const auto certificate = authority_.sign(*csr, *identity, *lifetime);
  if (!certificate) return refuse(failed_, kInternal, "CSR signing error", certificate.error().text);

  std::vector<std::string> chain = {certificate->pem()};
  for (const tls::Certificate& between : authority_.intermediates()) chain.push_back(between.pem());
  chain.push_back(roots_pem_);
  issued_.add();
  log::info(
      "ca", "issued a certificate",
      {log::field("identity", identity->uri()), log::field("caller", caller.text()), log::field("serial", certificate->serial()),
       log::field("expires", certificate->expires_at()), log::field("peer", peer)});
  return encode_certificate_response(chain);
}

}  // namespace culvert::controlplane
