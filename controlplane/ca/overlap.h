#pragma once
// How a CA that has changed comes into force without a connection that fails: whatever is signed chains to a root that everybody has had for a while.
//
//   offered                                            signs             published
//   the first                                          at once           its roots
//   a new signing certificate under a known root       at once           its roots
//   one under a root that is new                       after `overlap`   its roots at once, which must hold those of before
//   one whose roots do not lead to what signs now      never: refused    those of before
//
// Who renews a certificate gets the published roots with it, and who watches the published root gets it sooner: after `overlap` nobody is left who
// would not trust the new root. Pure: the time is passed in. Owned by Issuer.

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "controlplane/ca/root.h"

namespace culvert::controlplane {

class Overlap {
 public:
  using Time = std::chrono::system_clock::time_point;

  explicit Overlap(std::chrono::seconds overlap) : overlap_(overlap) {}

  // What came of an offer or of time that passed.
  struct Change {
    bool signer = false;  // another certificate signs
    bool roots = false;   // other roots are published
    bool hasty = false;   // a root is gone which certificates that are in use may still chain to
  };
  // Fails when it is refused: everything stays as it is.
  Result<Change> offer(CaRef ca, Time now);
  // When due() has come, or later.
  Change tick(Time now);

  bool there() const { return signer_ != nullptr; }
  const Ca& signer() const { return *signer_; }     // whose key signs
  const Ca& published() const { return *newest_; }  // whose roots are trusted: the last that was not refused
  // When the one that waits signs; none: nothing waits.
  std::optional<Time> due() const { return due_; }

 private:
  Time signs_at(const Ca& ca, Time now) const;
  bool publish(const Ca& ca, Time now);

  std::chrono::seconds overlap_;
  CaRef signer_;
  CaRef newest_;  // signer_, or the one that waits
  std::optional<Time> due_;
  std::optional<Time> switched_;       // when signer_ became that
  std::map<std::string, Time> roots_;  // PEM of those published, and since when
};

}  // namespace culvert::controlplane
