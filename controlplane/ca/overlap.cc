#include "controlplane/ca/overlap.h"

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

namespace culvert::controlplane {
namespace {

std::vector<tls::Certificate> roots_of(const Ca& ca) {
  auto roots = tls::Certificate::parse_all(ca.roots_pem, tls::kMaxRoots);
  return roots ? std::move(*roots) : std::vector<tls::Certificate>();
}

std::string signing(const Ca& ca) { return ca.authority.certificate().pem(); }

}  // namespace

// The first of its roots that has been published long enough decides. One that ends before that is trusted by all, but not for long: better a
// successor that most trust than nothing.
Overlap::Time Overlap::signs_at(const Ca& ca, Time now) const {
  if (!signer_ || signing(ca) == signing(*signer_)) return now;
  Time first = signer_->authority.certificate().not_after();
  for (const tls::Certificate& root : roots_of(ca)) {
    const auto since = roots_.find(root.pem());
    if (since != roots_.end() && ca.authority.check_roots(std::span(&root, 1), now))
      first = std::min(first, since->second + overlap_);
  }
  return first;
}

// True when one of before is gone.
bool Overlap::publish(const Ca& ca, Time now) {
  const Time since = newest_ ? now : Time();  // what a start finds has been there
  std::map<std::string, Time> roots;
  for (const tls::Certificate& root : roots_of(ca)) {
    const auto before = roots_.find(root.pem());
    roots.emplace(root.pem(), before == roots_.end() ? since : before->second);
  }
  const bool gone = std::ranges::any_of(roots_, [&](const auto& one) { return !roots.contains(one.first); });
  roots_ = std::move(roots);
  return gone;
}

Result<Overlap::Change> Overlap::offer(CaRef ca, Time now) {
  if (newest_ && signing(*ca) == signing(*newest_) && ca->roots_pem == newest_->roots_pem) return Change{};
  const std::vector<tls::Certificate> roots = roots_of(*ca);
  if (auto good = ca->authority.check_roots(roots, now); !good) return std::unexpected(std::move(good).error());
  if (signer_ && now < signer_->authority.certificate().not_after() && !signer_->authority.check_roots(roots, now)) {
    return failure(
        "its roots do not lead to the certificates that are in use, and connections between old and new ones would fail (keep "
        "the root of "
        "before in root-cert.pem, beside the new one, until all certificates are renewed; or restart culvertd to begin anew)");
  }
  Change change{.roots = !newest_ || ca->roots_pem != newest_->roots_pem};
  change.hasty = publish(*ca, now) && switched_ && now < *switched_ + overlap_;
  due_ = signs_at(*ca, now);
  newest_ = std::move(ca);
  change.signer = tick(now).signer;
  return change;
}

Overlap::Change Overlap::tick(Time now) {
  if (!due_ || now < *due_) return {};
  due_.reset();
  const bool other = !signer_ || signing(*signer_) != signing(*newest_);
  if (signer_ && other) switched_ = now;
  signer_ = newest_;
  return {.signer = other};
}

}  // namespace culvert::controlplane
