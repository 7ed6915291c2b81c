#pragma once
// The CA as a value, and its files in --data-dir: ca-key.pem (0600), ca-cert.pem, cert-chain.pem (what lies between it and the root, if anything),
// root-cert.pem (what clients trust; several while a root is replaced), and the server's own certificate server-cert.pem and server-key.pem (0600),
// which the gRPC server reads.

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "common/base/address.h"
#include "common/base/result.h"
#include "common/tls/authority.h"
#include "controlplane/ca/rotation.h"

namespace culvert::controlplane {

struct DataFiles {
  explicit DataFiles(const std::string& folder)
      : root(folder + "/root-cert.pem"),
        ca_key(folder + "/ca-key.pem"),
        ca_certificate(folder + "/ca-cert.pem"),
        server_key(folder + "/server-key.pem"),
        server_certificate(folder + "/server-cert.pem") {}
  std::string root, ca_key, ca_certificate, server_key, server_certificate;
};

inline constexpr std::chrono::hours kServerLifetime{24};

// Who signs, and what data planes trust. Immutable once it is shared.
struct Ca {
  tls::Authority authority;
  std::string roots_pem;
  std::string from = {};       // where it came from, for messages: "Secret istio-system/cacerts"
  std::uint64_t sequence = 0;  // grows with each change of where it comes from
  bool has_crl = false;        // ca-crl.pem is there, which is not used
};
using CaRef = std::shared_ptr<const Ca>;

// The CA that these texts make up. What of cert-chain.pem is the signing certificate or a root is left out: people put one or both of them there. Errors
// name the text.
Result<Ca> read_ca(const CaTexts& texts, const std::string& trust_domain);
// Says what is there and has no effect.
void warn_of_unused(const Ca& ca);

// The trust domain that a root names; empty when it names none: then it is good for any.
std::string trust_domain_of(const tls::Certificate& root);
// `trust_domain` empty: any will do.
Status check_trust_domain(const tls::Certificate& root, const std::string& trust_domain);

// How sure it is that the CA must be of a trust domain.
enum class Of : std::uint8_t { kThis, kAny };  // kAny: one that is there is taken as it is

// Loads the CA, or makes it when there is none yet: a root, P-256. Never makes a new one over a part of an old one, and refuses one of another
// trust domain. The folder is made when missing and is ours alone (see lock_folder).
Result<Ca> load_or_make_ca(const std::string& folder, const std::string& trust_domain, const RotationPolicy& policy = {},
                           Of of = Of::kThis);
// As it stands there now. A change that was cut short is finished.
Result<Ca> load_ca(const std::string& folder, const std::string& trust_domain);

// Goes one step on in replacing a root that culvertd made, if it is time. True when something was written.
Result<bool> rotate_root(const std::string& folder, const std::string& trust_domain, const RotationPolicy& policy,
                         tls::SystemTime now = std::chrono::system_clock::now());

// Signs a new certificate for our own server and writes it. The server's key is made once: a renewal replaces one file, so that whoever reads
// the two never sees halves that do not fit.
Result<tls::Certificate> write_server_certificate(const tls::Authority& authority, const std::string& folder,
                                                  std::span<const std::string> names);

// root-cert.pem in the folder, for clients on this machine; left alone when it says this already.
Status write_roots(const std::string& folder, const std::string& roots_pem);

// The server's certificate and key as they stand on disk.
Result<tls::KeyPair> read_server_pair(const std::string& folder);

// The server's certificate as it stands on disk, if it fits its key, is the authority's and is valid now.
Result<tls::Certificate> read_server_certificate(const tls::Authority& authority, const std::string& folder,
                                                 tls::SystemTime now = std::chrono::system_clock::now());

// True from half of a certificate's life on, and when the clock says that it has not begun: clocks are set, and machines sleep.
bool is_due(const tls::Certificate& certificate, tls::SystemTime now);

}  // namespace culvert::controlplane
