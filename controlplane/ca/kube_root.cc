#include "controlplane/ca/kube_root.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <boost/json.hpp>
#include <optional>
#include <utility>

#include "common/base/base64.h"
#include "common/base/log.h"
#include "controlplane/ca/root.h"

namespace culvert::controlplane {
namespace {

namespace json = boost::json;

constexpr std::string_view kUsersOwn = "cacerts";
constexpr std::string_view kOurs = "istio-ca-secret";
constexpr int kNotFound = 404;
constexpr int kConflict = 409;

// Memory of what nobody may find in it afterwards.
class Wiped final : public boost::container::pmr::memory_resource {
  void* do_allocate(std::size_t bytes, std::size_t align) override { return ::operator new(bytes, std::align_val_t(align)); }
  void do_deallocate(void* place, std::size_t bytes, std::size_t align) override {
    OPENSSL_cleanse(place, bytes);
    ::operator delete(place, std::align_val_t(align));
  }
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
};

void wipe(std::string& text) { OPENSSL_cleanse(text.data(), text.size()); }

// The data of a Secret.
class Data {
 public:
  explicit Data(const json::object& data) : data_(data) {}

  // The first of these keys that is there.
  Result<std::string> get(std::initializer_list<std::string_view> names) const {
    for (const std::string_view name : names) {
      const auto* value = data_.if_contains(name);
      if (value == nullptr || !value->is_string()) continue;
      auto text = from_base64(value->as_string());
      if (!text) return failure(std::string(name) + " is not base64");
      return std::move(*text);
    }
    return failure("has no " + std::string(*names.begin()));
  }

 private:
  const json::object& data_;
};

// What of cert-chain.pem lies between the signing certificate and the roots: people put one or both of them into it.
std::string between(const std::string& chain_pem, const std::string& certificate_pem) {
  std::string out;
  const auto chain = tls::Certificate::parse_all(chain_pem);
  const auto own = tls::Certificate::parse(certificate_pem);
  if (!chain || !own) return chain_pem;  // loading it says what is wrong
  for (const tls::Certificate& one : *chain)
    if (!one.is_self_issued() && one.pem() != own->pem()) out += one.pem();
  return out;
}

kube::Place secret_at(const std::string& ns, std::string_view name) {
  return {.of = {.plural = "secrets"}, .ns = ns, .name = std::string(name)};
}

// None when there is no such Secret.
net::Task<Result<std::optional<Ca>>> find_ca(kube::Client& client, kube::Place at, std::string trust_domain) {
  kube::Request request = kube::get(at);
  auto answer = co_await client.exchange(request);
  if (!answer) co_return std::unexpected(std::move(answer).error());
  if (answer->status == kNotFound) co_return std::nullopt;
  if (!kube::is_success(answer->status)) co_return std::unexpected(kube::refusal(request, answer->status, answer->body));
  auto ca = read_ca_secret(answer->body, trust_domain);
  wipe(answer->body);
  if (!ca) co_return std::unexpected(std::move(ca).error().during("reading Secret " + at.ns + "/" + at.name));
  ca->from = "Secret " + at.ns + "/" + at.name;
  co_return std::move(*ca);
}

}  // namespace

Result<Ca> read_ca_secret(std::string_view object, const std::string& trust_domain) {
  boost::system::error_code error;
  Wiped memory;
  const json::value value = json::parse(object, error, &memory);
  const auto* data = !error && value.is_object() ? value.as_object().if_contains("data") : nullptr;
  if (data == nullptr || !data->is_object()) return failure("has no data");
  const Data secret(data->as_object());
  auto certificate = secret.get({"ca-cert.pem", "tls.crt"});
  if (!certificate) return std::unexpected(certificate.error());
  auto key = secret.get({"ca-key.pem", "tls.key"});
  if (!key) return std::unexpected(key.error());
  const auto chain = secret.get({"cert-chain.pem"});
  auto authority = tls::Authority::load(*certificate, *key, chain ? between(*chain, *certificate) : "");
  wipe(*key);
  if (!authority) return std::unexpected(authority.error());
  auto roots = secret.get({"root-cert.pem", "ca.crt"});
  if (!roots && authority->certificate().is_self_issued()) roots = authority->certificate().pem();
  if (!roots) return failure("has no root-cert.pem, and its CA certificate is no root");
  const auto parsed = tls::Certificate::parse_all(*roots);
  if (!parsed || parsed->empty()) return failure("root-cert.pem holds no certificate");
  if (auto leads = authority->check_roots(*parsed); !leads) return std::unexpected(leads.error());
  if (auto fits = check_trust_domain(parsed->front(), trust_domain); !fits) return std::unexpected(fits.error());
  return Ca{.authority = std::move(*authority), .roots_pem = std::move(*roots), .from = ""};
}

std::string ca_secret(const tls::Authority& authority, std::string_view ns) {
  const std::string certificate = to_base64(authority.certificate().pem());
  std::string pem = authority.key_pair().key().private_pem(), key = to_base64(pem);
  Wiped memory;
  const json::object data({{"ca-cert.pem", certificate},
                           {"ca-key.pem", key},
                           {"root-cert.pem", certificate},
                           {"cert-chain.pem", ""},
                           {"key.pem", ""}},
                          &memory);
  const json::object secret({{"apiVersion", "v1"},
                             {"kind", "Secret"},
                             {"type", "istio.io/ca-root"},
                             {"metadata", {{"name", kOurs}, {"namespace", ns}}},
                             {"data", data}},
                            &memory);
  wipe(pem);
  wipe(key);
  return json::serialize(secret);
}

net::Task<Result<Ca>> load_or_make_ca(kube::Client& client, std::string ns, std::string trust_domain) {
  auto users = co_await find_ca(client, secret_at(ns, kUsersOwn), trust_domain);
  if (!users) co_return std::unexpected(std::move(users).error());
  if (*users) co_return std::move(**users);
  for (;;) {
    auto ours = co_await find_ca(client, secret_at(ns, kOurs), trust_domain);
    if (!ours) co_return std::unexpected(std::move(ours).error());
    if (*ours) co_return std::move(**ours);
    auto made = tls::Authority::make_root(trust_domain);
    if (!made) co_return std::unexpected(std::move(made).error());
    kube::Place at = secret_at(ns, kOurs);
    at.name.clear();  // a POST names the collection
    kube::Request request = kube::create(at, ca_secret(*made, ns));
    auto answer = co_await client.exchange(request);
    wipe(request.body);
    if (!answer) co_return std::unexpected(answer.error());
    if (answer->status == kConflict) continue;  // another replica was faster
    if (!kube::is_success(answer->status)) co_return std::unexpected(kube::refusal(request, answer->status, answer->body));
    wipe(answer->body);  // the Secret once more
    log::info("ca", "made a new root certificate",
              {log::field("serial", made->certificate().serial()), log::field("expires", made->certificate().expires_at())});
    std::string roots = made->certificate().pem();
    co_return Ca{.authority = std::move(*made), .roots_pem = std::move(roots), .from = "Secret " + ns + "/" + std::string(kOurs)};
  }
}

}  // namespace culvert::controlplane
