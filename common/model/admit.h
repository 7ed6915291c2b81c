#pragma once
// May this connection come in? L4 authorization at the destination (protocols.md §3.2, §3.3).

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/address.h"
#include "common/base/identity.h"
#include "common/base/reason.h"
#include "common/model/mesh.h"

namespace culvert::model {

// Who connects, as the proxy itself saw it.
struct Peer {
  std::optional<Identity> identity{};  // of the mutual TLS; none for plaintext
  IpAddress source{};                  // of the TCP connection
};

// What one dry-run policy would have had to say.
struct DryRun {
  PolicyRef policy{};
  std::size_t rule = 0;  // that matched
};

struct Verdict {
  bool allowed = false;
  // kNone when allowed. kPolicyDenied: a DENY matched, or ALLOW policies exist and none did. kPolicyInvalid: a policy in scope cannot be
  // read. kPolicyUnknown: the workload names a policy that has not arrived; the caller may wait for it, and then takes this as "denied".
  Reason reason = Reason::kPolicyDenied;
  PolicyRef policy{};              // that decided; null when nothing matched
  std::size_t rule = 0;            // of that policy
  std::string unknown{};           // kPolicyUnknown: the name of the missing policy
  std::vector<DryRun> dry_runs{};  // dry-run policies that matched; nothing came of it

  std::string policy_name() const;  // "ns/name", the unknown name, or ""
  // One sentence for logs: "denied by policy ns/name, rule 1: (principals [a])".
  std::string text() const;
};

// Decides whether `peer` may connect to `destination` (the final address and port, in the pod of `workload`). Pure.
Verdict admit(const Mesh& mesh, const Workload& workload, const Peer& peer, const Endpoint& destination);

// Whether one rule, or one match, holds for this connection. The meaning of policies without any index; admit gives the same answers.
struct Subject {
  std::string principal{};  // "td/ns/x/sa/y"; empty without identity
  const Peer* peer = nullptr;
  Endpoint destination{};

  Subject(const Peer& peer, const Endpoint& destination);
};
bool matches(const Match& match, const Subject& subject);
bool matches(const Rule& rule, const Subject& subject);

}  // namespace culvert::model
