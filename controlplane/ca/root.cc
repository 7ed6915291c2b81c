#include "controlplane/ca/root.h"

#include <sys/stat.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/secrets.h"
#include "controlplane/ca/files.h"

namespace culvert::controlplane {
namespace {

// Leaves the file alone when it says this already.
Status write_if_different(const std::string& path, const std::string& text, Access access) {
  if (const auto held = read_file(path); held && *held == text) return {};
  return write_file(path, text, access);
}

// Which of the CA's files hold a secret.
bool is_key(std::string_view name) { return name.ends_with("-key.pem"); }

Result<CaTexts> read_texts(const std::string& folder) {
  CaTexts texts;
  for (const char* name : {"ca-cert.pem", "ca-key.pem", "cert-chain.pem", "root-cert.pem", "next-cert.pem", "next-key.pem",
                           "rotated-at", "ca-crl.pem"}) {
    const std::string path = folder + "/" + name;
    const auto there = exists(path);
    if (!there) return std::unexpected(there.error());
    if (!*there) continue;
    auto text = is_key(name) ? read_secret(path) : read_file(path);
    if (!text) return std::unexpected(std::move(text).error());
    texts.set(name, std::move(*text));
  }
  return texts;
}

Status apply(const std::string& folder, const std::vector<CaEdit>& edits) {
  Status done;
  for (const CaEdit& edit : edits) {
    const std::string path = folder + "/" + edit.name;
    if (done && edit.text) done = write_file(path, *edit.text, is_key(edit.name) ? Access::kOwner : Access::kEverybody);
    if (done && !edit.text) done = remove_file(path);
  }
  return done;
}

// root-cert.pem is written last: where it is, there has been a CA, and data planes trust it. Without it, a start was cut short and begins anew.
Status make(const DataFiles& files, const std::string& trust_domain, std::chrono::seconds lifetime) {
  const auto trusted = exists(files.root);
  if (!trusted) return std::unexpected(trusted.error());
  if (*trusted) {
    return failure(files.ca_key + " is not there, and " + files.root +
                   " says that there was a CA (bring the key back, or remove root-cert.pem to begin a new mesh that trusts "
                   "nobody of the old)");
  }
  const auto authority = tls::Authority::make_root(trust_domain, lifetime);
  if (!authority) return std::unexpected(authority.error());
  // The key last: a CA is there when its key is, and a start that is cut short in between begins anew.
  if (auto done = write_file(files.ca_certificate, authority->certificate().pem(), Access::kEverybody); !done) return done;
  std::string key = authority->key_pair().key().private_pem();
  const Status done = write_file(files.ca_key, key, Access::kOwner);
  wipe(key);
  if (!done) return done;
  log::info(
      "ca", "made a new root certificate",
      {log::field("serial", authority->certificate().serial()), log::field("expires", authority->certificate().expires_at())});
  return {};
}

// When the file was last written, for Ca::sequence.
std::uint64_t written_at(const std::string& path) {
  struct stat about{};
  return ::stat(path.c_str(), &about) == 0 ? static_cast<std::uint64_t>(about.st_mtim.tv_sec) : 0;
}

// The server's key: made once, and made anew when it cannot be used.
Result<tls::PrivateKey> server_key(const DataFiles& files) {
  if (auto held = read_secret(files.server_key)) {
    auto key = tls::PrivateKey::parse(*held);
    wipe(*held);
    if (key) return key;
  }
  auto key = tls::PrivateKey::generate();
  if (!key) return key;
  std::string text = key->private_pem();
  const Status done = write_file(files.server_key, text, Access::kOwner);
  wipe(text);
  if (!done) return std::unexpected(done.error());
  return key;
}

std::string pem_of(std::span<const tls::Certificate> chain) {
  std::string pem;
  for (const tls::Certificate& certificate : chain) pem += certificate.pem();
  return pem;
}

}  // namespace

std::string trust_domain_of(const tls::Certificate& root) {
  constexpr std::string_view kScheme = "spiffe://";
  for (const std::string& name : root.uri_sans()) {
    if (name.starts_with(kScheme) && !name.substr(kScheme.size()).contains('/')) return name.substr(kScheme.size());
  }
  return "";
}

Status check_trust_domain(const tls::Certificate& root, const std::string& trust_domain) {
  const std::vector<std::string> names = root.uri_sans();
  if (names.empty() || trust_domain.empty() || std::ranges::contains(names, "spiffe://" + trust_domain)) return {};
  return failure("its root is of " + names.front() + ", and the trust domain is set to " + trust_domain +
                 " (set TRUST_DOMAIN back, or begin anew with another CA)");
}

Result<Ca> read_ca(const CaTexts& texts, const std::string& trust_domain) {
  const std::string* certificate = texts.find("ca-cert.pem");
  const std::string* key = texts.find("ca-key.pem");
  const std::string* more = texts.find("cert-chain.pem");
  if (certificate == nullptr) return failure("has no ca-cert.pem");
  if (key == nullptr) return failure("has no ca-key.pem");
  auto chain = tls::Certificate::parse_all(*certificate);  // some put what lies between right behind it
  if (!chain) return std::unexpected(std::move(chain).error().during("ca-cert.pem"));
  const std::string own = chain->front().pem();
  if (more != nullptr && !more->empty()) {
    auto rest = tls::Certificate::parse_all(*more);
    if (!rest) return std::unexpected(std::move(rest).error().during("cert-chain.pem"));
    chain->insert(chain->end(), rest->begin(), rest->end());
  }
  std::string between;
  for (const tls::Certificate& one : *chain)
    if (!one.is_self_issued() && one.pem() != own && !between.contains(one.pem())) between += one.pem();
  auto authority = tls::Authority::load(own, *key, between);
  if (!authority) return std::unexpected(std::move(authority).error());
  const std::string* given = texts.find("root-cert.pem");
  if (given == nullptr && !authority->certificate().is_self_issued())
    return failure("has no root-cert.pem, and its CA certificate is no root");
  std::string roots = given == nullptr ? own : *given;
  const auto parsed = tls::Certificate::parse_all(roots, tls::kMaxRoots);
  if (!parsed) return failure("root-cert.pem holds no certificate");
  if (auto leads = authority->check_roots(*parsed); !leads) return std::unexpected(leads.error());
  for (const tls::Certificate& root : *parsed) {  // others that are trusted beside it may be of another mesh
    if (root.uri_sans().empty() || !authority->check_roots(std::span(&root, 1))) continue;
    if (auto fits = check_trust_domain(root, trust_domain); !fits) return std::unexpected(fits.error());
    break;
  }
  return Ca{.authority = std::move(*authority), .roots_pem = std::move(roots), .has_crl = texts.find("ca-crl.pem") != nullptr};
}

void warn_of_unused(const Ca& ca) {
  if (ca.has_crl)
    log::warn("ca", "ca-crl.pem of " + ca.from +
                        " is not used: certificates that it lists are accepted until they end (replace the CA that signed them)");
}

Result<Ca> load_ca(const std::string& folder, const std::string& trust_domain) {
  auto texts = read_texts(folder);
  if (!texts) return std::unexpected(std::move(texts).error());
  if (const auto rest = rest_of_switch(*texts); !rest.empty()) {
    if (auto done = apply(folder, rest); !done) return std::unexpected(done.error());
    if (texts = read_texts(folder); !texts) return std::unexpected(std::move(texts).error());
  }
  auto ca = read_ca(*texts, trust_domain);
  if (!ca) return ca;
  ca->from = folder;
  warn_of_unused(*ca);
  ca->sequence = written_at(DataFiles(folder).root);
  return ca;
}

Result<Ca> load_or_make_ca(const std::string& folder, const std::string& trust_domain, const RotationPolicy& policy, Of of) {
  const DataFiles files(folder);
  if (auto there = make_private_folder(folder); !there) return std::unexpected(there.error());
  const auto held = exists(files.ca_key);
  if (!held) return std::unexpected(held.error());
  if (!*held) {
    if (auto made = make(files, trust_domain, policy.root_lifetime); !made)
      return std::unexpected(made.error().during("making the CA"));
  }
  auto ca = load_ca(folder, of == Of::kThis ? trust_domain : "");
  if (!ca) return std::unexpected(std::move(ca).error().during("loading the CA"));
  if (auto done = write_roots(folder, ca->roots_pem); !done) return std::unexpected(done.error());
  return ca;
}

Status write_roots(const std::string& folder, const std::string& roots_pem) {
  return write_if_different(DataFiles(folder).root, roots_pem, Access::kEverybody);
}

Result<bool> rotate_root(const std::string& folder, const std::string& trust_domain, const RotationPolicy& policy,
                         tls::SystemTime now) {
  const auto texts = read_texts(folder);
  if (!texts) return std::unexpected(texts.error());
  if (const auto ours = is_self_made(*texts); !ours || !*ours) return ours;
  const auto life = life_of(*texts);
  if (!life) return std::unexpected(life.error());
  const RootStep step = next_step(*life, policy, now);
  auto edits = edits_for(step, *texts, trust_domain, policy, now);
  if (!edits) return std::unexpected(std::move(edits).error());
  if (edits->empty()) return false;
  log::info("ca", "replaces the root certificate: " + std::string(name(step)));
  if (auto done = apply(folder, *edits); !done) return std::unexpected(done.error());
  return true;
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
  auto chain = read_file(files.server_certificate);
  if (!chain) return std::unexpected(std::move(chain).error());
  auto pair = tls::KeyPair::parse(*chain, *key);
  wipe(*key);
  return pair;
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
