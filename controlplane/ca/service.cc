#include "controlplane/ca/service.h"

#include <span>
#include <utility>
#include <vector>

#include "common/base/log.h"
#include "proto/ca.pb.h"

namespace culvert::controlplane {
namespace {

constexpr int kInvalidArgument = 3;
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

CaService::CaService(const tls::Authority& authority, const derive::Objects& objects, IssuePolicy policy,
                     telemetry::Registry& registry)
    : authority_(authority),
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

void CaService::serve(rpc::CallRef call, const std::string& node) {
  rpc::ServerCall& calling = *call;
  // The call keeps itself while it lives; the handler must not, or neither would ever go.
  calling.accept({.on_message =
                      [this, weak = std::weak_ptr(call), node](const std::string& message) {
                        const rpc::CallRef asked = weak.lock();
                        if (!asked) return;
                        auto answered = answer(message, node, asked->peer());
                        if (answered) return asked->answer(std::move(*answered));
                        const Refusal& refusal = answered.error();
                        log::warn("ca", "refused a certificate: " + refusal.reason,
                                  {log::field("node", node), log::field("peer", asked->peer())});
                        asked->finish({.code = refusal.code, .text = refusal.told});
                      },
                  .on_sent = {},
                  .on_end = {}});
}

std::expected<std::string, CaService::Refusal> CaService::answer(const std::string& message, const std::string& node,
                                                                 const std::string& peer) {
  requests_.add();
  const auto refuse = [](telemetry::Counter& counter, int code, std::string told, std::string reason) {
    counter.add();
    return std::unexpected(Refusal{code, std::move(told), std::move(reason)});
  };
  const auto request = decode_certificate_request(message);
  if (!request) return refuse(unreadable_, kInvalidArgument, request.error().text, request.error().text);
  const auto identity = may_have(node, request->identity, objects_, policy_);
  if (!identity) return refuse(refused_, kUnauthenticated, std::string(kOpaque), identity.error().text);
  const auto lifetime = lifetime_of(request->lifetime_seconds, policy_);
  if (!lifetime) return refuse(refused_, kInvalidArgument, lifetime.error().text, lifetime.error().text);
  const auto csr = tls::CsrRequest::parse(request->csr_pem);
  if (!csr) return refuse(unreadable_, kInvalidArgument, "CSR parsing error", csr.error().text);
  const auto certificate = authority_.sign(*csr, *identity, *lifetime);
  if (!certificate) return refuse(failed_, kInternal, "CSR signing error", certificate.error().text);

  std::vector<std::string> chain = {certificate->pem()};
  for (const tls::Certificate& between : authority_.intermediates()) chain.push_back(between.pem());
  chain.push_back(authority_.certificate().pem());
  issued_.add();
  log::info("ca", "issued a certificate",
            {log::field("identity", identity->uri()), log::field("node", node), log::field("serial", certificate->serial()),
             log::field("expires", certificate->expires_at()), log::field("peer", peer)});
  return encode_certificate_response(chain);
}

}  // namespace culvert::controlplane
