// Certificates, requests and keys as PEM and DER, as a CA, a file or a peer could give them; and the first bytes of a TLS peer.
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <tuple>

#include "common/base/check.h"
#include "common/tls/authority.h"
#include "common/tls/session.h"

using namespace culvert::tls;

namespace {

void look_at(const Certificate& certificate) {
  (void)certificate.identity();
  (void)certificate.uri_sans();
  (void)certificate.dns_sans();
  (void)certificate.serial();
  (void)certificate.valid_from();
  (void)certificate.expires_at();
  (void)certificate.is_ca();
  (void)certificate.subject();
  CULVERT_CHECK(Certificate::parse(certificate.pem()).has_value());
}

const Authority& authority() {
  static const Authority one = *Authority::make_root("cluster.local");
  return one;
}

const Context& context() {
  static const Context one = *Context::mesh(*authority().make_workload({"cluster.local", "a", "b"}, std::chrono::hours(1)),
                                            Roots({authority().certificate()}));
  return one;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto bytes = std::as_bytes(std::span(data, size));
  if (const auto certificate = Certificate::parse_der(bytes)) look_at(*certificate);
  if (const auto certificates = Certificate::parse_all(text))
    for (const auto& certificate : *certificates) look_at(certificate);
  if (const auto request = CsrRequest::parse(text)) {
    const auto leaf = authority().sign(*request, {"cluster.local", "a", "b"}, std::chrono::hours(1));
    CULVERT_CHECK(!leaf || leaf->identity()->service_account == "b");
  }
  std::ignore = PrivateKey::parse(text);

  Session session = context().mesh_server();
  session.feed(bytes.first(size / 2));
  session.keep();
  session.feed(bytes.subspan(size / 2));
  std::byte out[64];
  CULVERT_CHECK(!session.read(out).ok());  // nobody without a certificate gets a byte through
  return 0;
}
