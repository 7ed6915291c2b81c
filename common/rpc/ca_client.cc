#include "common/rpc/ca_client.h"

#include <optional>

#include "common/net/event.h"
#include "proto/ca.pb.h"

namespace culvert::rpc {
namespace {

constexpr const char* kPath = "/istio.v1.auth.IstioCertificateService/CreateCertificate";

std::string encode(const SigningRequest& request) {
  istio::v1::auth::IstioCertificateRequest out;
  out.set_csr(request.csr_pem);
  out.set_validity_duration(request.lifetime.count());
  if (!request.identity.empty())
    (*out.mutable_metadata()->mutable_fields())["ImpersonatedIdentity"].set_string_value(request.identity);
  return out.SerializeAsString();
}

Result<SignedChain> decode(const std::string& bytes) {
  istio::v1::auth::IstioCertificateResponse in;
  if (!in.ParseFromString(bytes)) return failure("the answer is not an IstioCertificateResponse", Reason::kIdentityError);
  if (in.cert_chain_size() < 2) return failure("the answer holds no certificate together with its roots", Reason::kIdentityError);
  SignedChain out;
  out.certificates.assign(in.cert_chain().begin(), in.cert_chain().end());
  out.roots = std::move(out.certificates.back());
  out.certificates.pop_back();
  if (out.roots.empty()) return failure("the answer's roots are empty", Reason::kIdentityError);
  return out;
}

}  // namespace

struct CaClient::State {
  net::Loop& loop;
  CaOptions options;
  std::string roots;  // that `channel` trusts
  std::optional<Channel> channel;

  // The connection, made anew when the roots on disk are others.
  Result<const Channel*> connection() {
    auto now = options.credentials.roots_pem();
    if (!now) return std::unexpected(now.error());
    if (!channel || *now != roots) {
      auto address = parse_address(options.address);
      if (!address) return std::unexpected(address.error());
      roots = std::move(*now);
      channel.emplace(Server{*address, roots, options.name});
    }
    return &*channel;
  }
};

CaClient::CaClient(net::Loop& loop, CaOptions options) : state_(new State{loop, std::move(options), {}, {}}) {}
CaClient::~CaClient() = default;

net::Task<Result<SignedChain>> CaClient::sign(SigningRequest request) {
  const std::string what =
      "asking " + state_->options.address + " for a certificate" + (request.identity.empty() ? "" : " of " + request.identity);
  const auto fail = [&what](Error error) -> Result<SignedChain> {
    error.reason = Reason::kIdentityError;
    return std::unexpected(std::move(error).during(what));
  };
  auto metadata = state_->options.credentials.metadata();
  if (!metadata) co_return fail(metadata.error());
  auto channel = state_->connection();
  if (!channel) co_return fail(channel.error());

  net::Event answered(state_->loop);
  Ended how;
  std::string message;
  const Unary call(state_->loop, **channel, kPath, *metadata, encode(request), state_->options.deadline,
                   [&](Ended status, std::string bytes) {
                     how = std::move(status);
                     message = std::move(bytes);
                     answered.set();
                   });
  co_await answered.wait();

  if (!how.ok()) co_return fail({how.describe()});
  auto chain = decode(message);
  if (!chain) co_return fail(chain.error());
  co_return std::move(*chain);
}

}  // namespace culvert::rpc
