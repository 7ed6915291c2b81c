#include "controlplane/ca/issuer.h"

#include <algorithm>
#include <chrono>
#include <span>
#include <tuple>
#include <utility>

#include "common/base/log.h"

namespace culvert::controlplane {
namespace {

using std::chrono::system_clock;

double seconds(system_clock::time_point time) { return std::chrono::duration<double>(time.time_since_epoch()).count(); }

}  // namespace

Issuer::Issuer(net::Loop& loop, std::chrono::seconds overlap, telemetry::Registry& registry)
    : due_(loop),
      keep_(overlap),
      overlap_(overlap),
      signers_(registry.counter("culvert_ca_changes_total", "Times that the CA changed while running.", {{"what", "signer"}})),
      bundles_(registry.counter("culvert_ca_changes_total", "Times that the CA changed while running.", {{"what", "roots"}})) {
  observe(registry);
}

void Issuer::observe(telemetry::Registry& registry) {
  using telemetry::Kind;
  const auto gauge = [&](const char* name, const char* help, std::function<double()> read) {
    registry.observe(name, help, Kind::kGauge, std::move(read));
  };
  const auto chain_ends = [this] { return there() ? seconds(authority().certificate().not_after()) : 0.0; };
  const auto left = [](double end) { return end == 0 ? 0.0 : end - seconds(system_clock::now()); };
  gauge("citadel_server_root_cert_expiry_timestamp", "When the root certificate ends, in seconds since 1970.",
        [this] { return root_ends(); });
  gauge("citadel_server_root_cert_expiry_seconds", "Seconds until the root certificate ends.",
        [this, left] { return left(root_ends()); });
  gauge("citadel_server_cert_chain_expiry_timestamp", "When the signing certificate ends, in seconds since 1970.", chain_ends);
  gauge("citadel_server_cert_chain_expiry_seconds", "Seconds until the signing certificate ends.",
        [left, chain_ends] { return left(chain_ends()); });
  gauge("culvert_ca_waiting", "1 while a new root is published and does not sign yet.",
        [this] { return overlap_.due() ? 1.0 : 0.0; });
  gauge("culvert_ca_refused", "1 while a changed CA is not taken up: the log says why.", [this] { return refused_ ? 1.0 : 0.0; });
}

// Of the roots that the signer leads to, the one that lasts longest.
double Issuer::root_ends() const {
  if (!there()) return 0;
  double ends = 0;
  const auto roots = tls::Certificate::parse_all(roots_pem(), tls::kMaxRoots);
  for (const tls::Certificate& root : roots.value_or(std::vector<tls::Certificate>()))
    if (authority().check_roots(std::span(&root, 1))) ends = std::max(ends, seconds(root.not_after()));
  return ends;
}

std::string Issuer::root_trust_domain() const {
  const auto roots = tls::Certificate::parse_all(overlap_.signer().roots_pem, tls::kMaxRoots);
  for (const tls::Certificate& root : roots.value_or(std::vector<tls::Certificate>())) {
    if (!authority().check_roots(std::span(&root, 1))) continue;
    if (std::string name = trust_domain_of(root); !name.empty()) return name;
  }
  return "";
}

Status Issuer::offer(const CaRef& ca) {
  const auto change = overlap_.offer(ca, system_clock::now());
  refused_ = change ? nullptr : ca;
  if (!change) {
    const std::string why = "the CA of " + ca->from + " is not taken up: " + change.error().text;
    if (std::exchange(refusal_, why) != why) log::error("ca", why);
    return std::unexpected(change.error());
  }
  refusal_.clear();
  changed(*change);
  return {};
}

void Issuer::remember(PastRoots past, std::function<void(std::string)> keep) {
  past_ = std::move(past);
  record_ = std::move(keep);
}

// Whose certificates are in use, and what is published. True when that is something else.
bool Issuer::note_roots(bool others) {
  const auto now = system_clock::now();
  const auto roots = tls::Certificate::parse_all(overlap_.published().roots_pem, tls::kMaxRoots);
  std::vector<std::string> bundle, signing, gone;
  for (const tls::Certificate& root : roots.value_or(std::vector<tls::Certificate>())) {
    bundle.push_back(root.pem());
    if (authority().check_roots(std::span(&root, 1), now)) signing.push_back(root.pem());
  }
  for (const std::string& pem : bundle_)
    if (!std::ranges::contains(bundle, pem)) gone.push_back(pem);
  bundle_ = std::move(bundle);
  const bool kept = past_.signs_under(signing, now, keep_), dropped = others && past_.drop(gone);  // its owner took it away
  if ((kept || dropped) && record_) record_(past_.text());
  std::string published = overlap_.published().roots_pem;
  for (const std::string& pem : past_.past())
    if (!std::ranges::contains(bundle_, pem)) published.append(published.ends_with('\n') ? "" : "\n").append(pem);
  return std::exchange(roots_pem_, published) != published;
}

void Issuer::changed(const Overlap::Change& made) {
  Overlap::Change change = made;
  change.roots = note_roots(made.roots) || made.roots;
  wait();
  if (!change.signer && !change.roots) return;
  const tls::Certificate& signer = authority().certificate();
  if (change.signer) {
    between_.clear();
    for (const tls::Certificate& one : authority().intermediates()) between_.push_back(one.pem());
    signers_.add();
    log::info("ca", "signs with " + from(), {log::field("serial", signer.serial()), log::field("expires", signer.expires_at())});
  }
  if (change.roots) {
    bundles_.add();
    const auto roots = tls::Certificate::parse_all(roots_pem(), tls::kMaxRoots);
    log::info("ca", "publishes the roots of " + from(),
              {log::field("roots", roots ? roots->size() : 0), log::field("of_before", past_.past().size())});
  }
  if (change.hasty)
    log::warn(
        "ca",
        "a root was taken away before everybody can have renewed what it vouches for: connections may fail until they have");
  if (const auto due = overlap_.due())
    log::info("ca", "a new root is published, and signs once everybody has it",
              {log::field("in_s", std::chrono::ceil<std::chrono::seconds>(*due - system_clock::now()).count())});
  if (changed_) changed_(change);
}

void Issuer::tick() {
  const Overlap::Change change = overlap_.tick(system_clock::now());
  changed(change);
  if (change.signer && refused_) std::ignore = offer(CaRef(refused_));
}

// By the clock on the wall, looked at again and again: it may be set.
void Issuer::wait() {
  constexpr auto kAgain = std::chrono::minutes(5);
  auto due = overlap_.due();
  if (const auto next = past_.next(); next && (!due || *next < *due)) due = next;
  if (!due) return due_.cancel();
  const auto left = std::max<system_clock::duration>(*due - system_clock::now(), std::chrono::milliseconds(1));
  due_.arm(std::min<net::Clock::duration>(left, kAgain), [this] { tick(); });
}

net::Task<Result<SignedLeaf>> Issuer::sign(LeafRequest request) {
  if (!there()) co_return failure("signing a certificate: the CA is not loaded yet");
  auto leaf = authority().sign_text(request.csr, request.identity, request.lifetime);
  if (!leaf) co_return std::unexpected(std::move(leaf).error());
  SignedLeaf out{.chain = {std::move(leaf->pem)},
                 .roots_pem = roots_pem(),
                 .serial = std::move(leaf->serial),
                 .expires = std::move(leaf->expires)};
  out.chain.insert(out.chain.end(), between_.begin(), between_.end());
  co_return out;
}

}  // namespace culvert::controlplane
