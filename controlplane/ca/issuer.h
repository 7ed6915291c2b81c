#pragma once
// The CA that culvertd holds, as it is now: signs, follows changes of where it comes from (overlap.h), and tells who publishes its roots. On the control
// thread.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "common/net/loop.h"
#include "common/net/timer.h"
#include "common/telemetry/registry.h"
#include "controlplane/ca/overlap.h"
#include "controlplane/ca/past_roots.h"
#include "controlplane/ca/signer.h"

namespace culvert::controlplane {

class Issuer final : public Signer {
 public:
  // `overlap`: for how long a new root is published before it signs.
  Issuer(net::Loop& loop, std::chrono::seconds overlap, telemetry::Registry& registry);

  // What was found. Fails when it is refused, which is logged: everything stays as it is. One that came too early is looked at again when another signs.
  Status offer(Ca ca) { return offer(std::make_shared<const Ca>(std::move(ca))); }
  void on_change(std::function<void(const Overlap::Change&)> changed) { changed_ = std::move(changed); }
  // What signed before this process: before the first offer. `keep` is told each text that is to be found by the next one.
  void remember(PastRoots past, std::function<void(std::string)> keep);
  std::string past_text() const { return past_.text(); }

  bool there() const { return overlap_.there(); }
  // While there():
  const tls::Authority& authority() const { return overlap_.signer().authority; }
  const std::string& roots_pem() const { return roots_pem_; }  // with those of CAs that signed before, as long as they are needed
  std::string root_trust_domain() const;                       // that the root of the signer names; empty: none
  std::uint64_t sequence() const { return overlap_.published().sequence; }
  const std::string& from() const { return overlap_.published().from; }

  net::Task<Result<SignedLeaf>> sign(LeafRequest request) override;

 private:
  Status offer(const CaRef& ca);
  void changed(const Overlap::Change& change);
  bool note_roots(bool others);
  void tick();
  void wait();
  void observe(telemetry::Registry& registry);
  double root_ends() const;  // seconds since 1970; 0: not there

  net::Timer due_;
  const std::chrono::seconds keep_;
  Overlap overlap_;
  PastRoots past_;
  std::function<void(std::string)> record_;
  std::vector<std::string> bundle_;  // PEM of the roots that came with the CA
  std::string roots_pem_;            // what is published
  CaRef refused_;                    // the last that was offered, if it was refused
  std::string refusal_;              // as it was logged
  telemetry::Counter& signers_;
  telemetry::Counter& bundles_;
  std::function<void(const Overlap::Change&)> changed_;
  std::vector<std::string> between_;  // PEM of the signer's intermediates
};

}  // namespace culvert::controlplane
