#include "controlplane/ca/root.h"

#include <filesystem>
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

Result<tls::Authority> load(const DataFiles& files) {
  auto key = read_secret(files.ca_key);
  if (!key) return std::unexpected(std::move(key).error());
  auto certificate = read(files.ca_certificate);
  if (!certificate) return std::unexpected(std::move(certificate).error());
  return tls::Authority::load(*certificate, *key);
}

Result<tls::Authority> make(const DataFiles& files, const std::string& trust_domain) {
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

}  // namespace

Result<tls::Authority> load_or_make_authority(const std::string& folder, const std::string& trust_domain) {
  const DataFiles files(folder);
  if (auto there = make_private_folder(folder); !there) return std::unexpected(there.error());
  std::error_code error;
  const bool held = std::filesystem::exists(files.ca_key, error);
  auto authority = held ? load(files) : make(files, trust_domain);
  if (!authority) return std::unexpected(std::move(authority).error().during(held ? "loading the CA" : "making the CA"));
  if (auto done = write_file(files.root, authority->certificate().pem(), Access::kEverybody); !done)
    return std::unexpected(done.error());
  return authority;
}

Status write_server_certificate(const tls::Authority& authority, const std::string& folder, std::span<const std::string> names) {
  std::vector<std::string> hosts;
  std::vector<IpAddress> addresses;
  for (const std::string& name : names) {
    if (auto address = IpAddress::parse(name)) {
      addresses.push_back(*address);
    } else {
      hosts.push_back(name);
    }
  }
  auto pair = authority.make_server(hosts, addresses, kServerLifetime);
  if (!pair) return std::unexpected(std::move(pair).error().during("signing the server's certificate"));
  std::string chain;
  for (const tls::Certificate& certificate : pair->chain()) chain += certificate.pem();
  const DataFiles files(folder);
  // Each file is whole at all times; a reader that sees the two halves of a renewal apart tries again.
  if (auto done = write_file(files.server_key, pair->key().private_pem(), Access::kOwner); !done) return done;
  return write_file(files.server_certificate, chain, Access::kEverybody);
}

}  // namespace culvert::controlplane
