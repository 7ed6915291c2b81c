#include "controlplane/ca/root.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <vector>

#include "common/base/log.h"
#include "controlplane/ca/files.h"

namespace culvert::controlplane {
namespace {

Result<std::string> read(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  if (!file) return failure("reading " + path + " failed");
  return text.str();
}

// Leaves the file alone when it says this already.
Status write_if_different(const std::string& path, const std::string& text, Access access) {
  if (const auto held = read(path); held && *held == text) return {};
  return write_file(path, text, access);
}

Result<tls::Authority> load(const DataFiles& files, const std::string& trust_domain) {
  auto key = read_secret(files.ca_key);
  if (!key) return std::unexpected(std::move(key).error());
  auto certificate = read(files.ca_certificate);
  if (!certificate) return std::unexpected(std::move(certificate).error());
  auto authority = tls::Authority::load(*certificate, *key);
  if (!authority) return authority;
  if (auto fits = check_trust_domain(authority->certificate(), trust_domain); !fits) return std::unexpected(fits.error());
  return authority;
}

// root-cert.pem is written last: where it is, there has been a CA, and data planes trust it. Without it, a start was cut short and begins anew.
Result<tls::Authority> make(const DataFiles& files, const std::string& trust_domain) {
  const auto trusted = exists(files.root);
  if (!trusted) return std::unexpected(trusted.error());
  if (*trusted) {
    return failure(files.ca_key + " is not there, and " + files.root +
                   " says that there was a CA (bring the key back, or remove root-cert.pem to begin a new mesh that trusts "
                   "nobody of the old)");
  }
  auto authority = tls::Authority::make_root(trust_domain);
  if (!authority) return authority;
  // The key last: a CA is there when its key is, and a start that is cut short in between begins anew.
  if (auto done = write_file(files.ca_certificate, authority->certificate().pem(), Access::kEverybody); !done)
    return std::unexpected(done.error());
  if (auto done = write_file(files.ca_key, authority->key_pair().key().private_pem(), Access::kOwner); !done)
    return std::unexpected(done.error());
  log::info(
      "ca", "made a new root certificate",
      {log::field("serial", authority->certificate().serial()), log::field("expires", authority->certificate().expires_at())});
  return authority;
}

// The server's key: made once, and made anew when it cannot be used.
Result<tls::PrivateKey> server_key(const DataFiles& files) {
  if (const auto held = read_secret(files.server_key)) {
    if (auto key = tls::PrivateKey::parse(*held)) return key;
  }
  auto key = tls::PrivateKey::generate();
  if (!key) return key;
  if (auto done = write_file(files.server_key, key->private_pem(), Access::kOwner); !done) return std::unexpected(done.error());
  return key;
}

std::string pem_of(std::span<const tls::Certificate> chain) {
  std::string pem;
  for (const tls::Certificate& certificate : chain) pem += certificate.pem();
  return pem;
}

}  // namespace

Status check_trust_domain(const tls::Certificate& root, const std::string& trust_domain) {
  const std::vector<std::string> names = root.uri_sans();
  if (names.empty() || std::ranges::contains(names, "spiffe://" + trust_domain)) return {};
  return failure("its root is of " + names.front() + ", and the trust domain is set to " + trust_domain +
                 " (set TRUST_DOMAIN back, or begin anew with another CA)");
}

Result<tls::Authority> load_or_make_authority(const std::string& folder, const std::string& trust_domain) {
  const DataFiles files(folder);
  if (auto there = make_private_folder(folder); !there) return std::unexpected(there.error());
  const auto held = exists(files.ca_key);
  if (!held) return std::unexpected(held.error());
  auto authority = *held ? load(files, trust_domain) : make(files, trust_domain);
  if (!authority) return std::unexpected(std::move(authority).error().during(*held ? "loading the CA" : "making the CA"));
  if (auto done = write_if_different(files.root, authority->certificate().pem(), Access::kEverybody); !done)
    return std::unexpected(done.error());
  return authority;
}

Result<tls::Certificate> write_server_certificate(const tls::Authority& authority, const std::string& folder,
                                                  std::span<const std::string> names) {
  std::vector<std::string> hosts;
  std::vector<IpAddress> addresses;
  for (const std::string& name : names) {
    if (auto address = IpAddress::parse(name)) {
      addresses.push_back(*address);
    } else {
      hosts.push_back(name);
    }
  }
  const DataFiles files(folder);
  auto key = server_key(files);
  if (!key) return std::unexpected(std::move(key).error());
  auto pair = authority.sign_server(std::move(*key), hosts, addresses, kServerLifetime);
  if (!pair) return std::unexpected(std::move(pair).error().during("signing the server's certificate"));
  if (auto done = write_file(files.server_certificate, pem_of(pair->chain()), Access::kEverybody); !done)
    return std::unexpected(done.error());
  return pair->leaf();
}

Result<tls::KeyPair> read_server_pair(const std::string& folder) {
  const DataFiles files(folder);
  auto key = read_secret(files.server_key);
  if (!key) return std::unexpected(std::move(key).error());
  auto chain = read(files.server_certificate);
  if (!chain) return std::unexpected(std::move(chain).error());
  return tls::KeyPair::parse(*chain, *key);
}

Result<tls::Certificate> read_server_certificate(const tls::Authority& authority, const std::string& folder,
                                                 tls::SystemTime now) {
  const DataFiles files(folder);
  auto pair = read_server_pair(folder);
  if (!pair) return std::unexpected(std::move(pair).error());
  const tls::Certificate& leaf = pair->leaf();
  if (!authority.has_signed(leaf)) return failure(files.server_certificate + " is of another CA");
  if (now < leaf.not_before() || now >= leaf.not_after()) return failure(files.server_certificate + " is not valid now");
  return leaf;
}

bool is_due(const tls::Certificate& certificate, tls::SystemTime now) {
  const auto half = (certificate.not_after() - certificate.not_before()) / 2;
  return now < certificate.not_before() || now >= certificate.not_before() + half;
}

}  // namespace culvert::controlplane
