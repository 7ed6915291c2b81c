#pragma once
// The embedded CA's files in --data-dir: ca-key.pem (0600), ca-cert.pem, root-cert.pem (what clients trust), and the server's own certificate
// server-cert.pem and server-key.pem (0600), which the gRPC server reads.

#include <chrono>
#include <span>
#include <string>

#include "common/base/address.h"
#include "common/base/result.h"
#include "common/tls/authority.h"

namespace culvert::controlplane {

struct DataFiles {
  explicit DataFiles(const std::string& folder)
      : ca_key(folder + "/ca-key.pem"),
        ca_certificate(folder + "/ca-cert.pem"),
        root(folder + "/root-cert.pem"),
        server_key(folder + "/server-key.pem"),
        server_certificate(folder + "/server-cert.pem") {}
  std::string ca_key, ca_certificate, root, server_key, server_certificate;
};

inline constexpr std::chrono::hours kServerLifetime{24};

// Who signs, and what data planes trust.
struct Ca {
  tls::Authority authority;
  std::string roots_pem;
  std::string from;  // where it came from, for messages: "Secret istio-system/cacerts"
};

// A root that names no trust domain (somebody's own) is taken for any.
Status check_trust_domain(const tls::Certificate& root, const std::string& trust_domain);

// Loads the CA, or makes it when there is none yet: P-256, ten years. Never makes a new one over a part of an old one, and refuses one of another
// trust domain. The folder is made when missing and is ours alone (see lock_folder).
Result<tls::Authority> load_or_make_authority(const std::string& folder, const std::string& trust_domain);

// Signs a new certificate for our own server and writes it. The server's key is made once: a renewal replaces one file, so that whoever reads
// the two never sees halves that do not fit.
Result<tls::Certificate> write_server_certificate(const tls::Authority& authority, const std::string& folder,
                                                  std::span<const std::string> names);

// The server's certificate and key as they stand on disk.
Result<tls::KeyPair> read_server_pair(const std::string& folder);

// The server's certificate as it stands on disk, if it fits its key, is the authority's and is valid now.
Result<tls::Certificate> read_server_certificate(const tls::Authority& authority, const std::string& folder,
                                                 tls::SystemTime now = std::chrono::system_clock::now());

// True from half of a certificate's life on, and when the clock says that it has not begun: clocks are set, and machines sleep.
bool is_due(const tls::Certificate& certificate, tls::SystemTime now);

}  // namespace culvert::controlplane
