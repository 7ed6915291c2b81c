#include "controlplane/ca/kube_signer.h"

#include <algorithm>
#include <boost/json.hpp>
#include <random>
#include <tuple>
#include <utility>

#include "common/base/base64.h"
#include "common/base/format.h"
#include "common/base/log.h"
#include "common/kube/json.h"
#include "common/net/timer.h"
#include "common/rpc/credentials.h"

namespace culvert::controlplane {
namespace {

namespace json = boost::json;

constexpr std::string_view kClientSigner = "kubernetes.io/kube-apiserver-client";
constexpr std::chrono::seconds kShortest{600};  // that the API takes

kube::Place at(std::string name, std::string subresource = "") {
  return {.of = {.group = "certificates.k8s.io", .plural = "certificatesigningrequests"},
          .name = std::move(name),
          .subresource = std::move(subresource)};
}

std::string new_name() {
  std::random_device random;
  return culvert::format("culvert-{:08x}{:08x}", random(), random());
}

}  // namespace

std::string signing_request(const std::string& name, const std::string& signer, const LeafRequest& request) {
  json::array usages = {"digital signature", "key encipherment", "client auth"};
  if (signer != kClientSigner) usages.emplace_back("server auth");
  return json::serialize(json::object{{"apiVersion", "certificates.k8s.io/v1"},
                                      {"kind", "CertificateSigningRequest"},
                                      {"metadata", {{"name", name}, {"labels", {{"app.kubernetes.io/managed-by", "culvertd"}}}}},
                                      {"spec",
                                       {{"request", to_base64(request.csr_pem)},
                                        {"signerName", signer},
                                        {"expirationSeconds", std::max(request.lifetime, kShortest).count()},
                                        {"usages", std::move(usages)}}}});
}

Result<SigningState> read_signing_state(std::string_view object) {
  boost::system::error_code error;
  const json::value value = json::parse(object, error);
  if (error || !value.is_object()) return failure("the answer is no CertificateSigningRequest");
  const auto* status = value.as_object().if_contains("status");
  if (status == nullptr || !status->is_object()) return SigningState{};
  SigningState state;
  const std::string encoded = kube::text_at(status->as_object(), "certificate");
  const auto plain = from_base64(encoded);
  if (!plain) return failure("status.certificate is not base64");
  state.certificate = *plain;
  const auto* conditions = status->as_object().if_contains("conditions");
  if (conditions == nullptr || !conditions->is_array()) return state;
  for (const json::value& one : conditions->as_array()) {
    if (!one.is_object()) continue;
    const std::string type = kube::text_at(one.as_object(), "type");
    if (type == "Denied" || type == "Failed")
      state.refused = culvert::format("{}: {} ({})", type, kube::text_at(one.as_object(), "message"),
                                      kube::text_at(one.as_object(), "reason"));
  }
  return state;
}

// The object as it came, with the condition that says yes: PUT, since the API takes nothing else there from everybody.
net::Task<Status> KubeSigner::approve(std::string object) {
  boost::system::error_code error;
  json::value value = json::parse(object, error);
  if (error || !value.is_object()) co_return failure("the answer is no CertificateSigningRequest");
  value.as_object()["status"] = {{"conditions", json::array{{{"type", "Approved"},
                                                             {"status", "True"},
                                                             {"reason", "ProvedByCulvertd"},
                                                             {"message", "the caller has proved who it is"}}}}};
  const std::string name = kube::text_at(value.as_object()["metadata"].as_object(), "name");
  const auto answer = co_await client_.call(kube::replace(at(name, "approval"), json::serialize(value)));
  if (!answer) co_return std::unexpected(answer.error());
  co_return Status();
}

net::Task<Result<std::string>> KubeSigner::await_certificate(std::string name) {
  const auto end = net::Clock::now() + options_.patience;
  for (auto pause = options_.first_look; net::Clock::now() < end; pause = std::min(pause * 2, options_.looks)) {
    co_await net::sleep_for(client_.loop(), pause);
    const auto answer = co_await client_.call(kube::get(at(name)));
    if (!answer) co_return std::unexpected(answer.error());
    auto state = read_signing_state(answer->body);
    if (!state) co_return std::unexpected(std::move(state).error());
    if (!state->refused.empty()) co_return failure("the signer " + options_.signer + " said no: " + state->refused);
    if (!state->certificate.empty()) co_return std::move(state->certificate);
  }
  co_return failure(culvert::format("the signer {} has not signed within {} ms (does its controller run?)", options_.signer,
                                    options_.patience.count()));
}

net::Task<Result<std::string>> KubeSigner::ask(std::string name, std::string object) {
  auto made = co_await client_.call(kube::create(at(""), std::move(object)));
  if (!made) co_return std::unexpected(std::move(made).error());
  Result<std::string> certificate = std::string();
  if (auto approved = co_await approve(std::move(made->body)); !approved) certificate = std::unexpected(approved.error());
  else certificate = co_await await_certificate(name);
  const auto removed = co_await client_.call(kube::remove(at(name)));
  if (!removed) log::debug("ca", "a CertificateSigningRequest is left to the cluster to remove: " + removed.error().text);
  co_return certificate;
}

// The signer grants what is in the request, and the request is the caller's: nothing may be in it but the identity.
net::Task<Result<SignedLeaf>> KubeSigner::sign(LeafRequest request) {
  const std::string uri = request.identity.uri();
  if (!request.csr.asks_only_for(uri))
    co_return failure("the request for " + uri + " holds other names, a subject or extensions, which the signer might grant");
  const auto roots = rpc::Credentials{.roots = options_.roots}.roots_pem();
  if (!roots) co_return std::unexpected(roots.error().during("reading what the signer's certificates chain to"));
  const std::string name = new_name();
  const auto chain = co_await ask(name, signing_request(name, options_.signer, request));
  if (!chain) co_return std::unexpected(chain.error().during("asking Kubernetes for a certificate of " + uri));
  co_return check_signed(*chain, *roots, request, std::chrono::system_clock::now());
}

}  // namespace culvert::controlplane
