#pragma once
// Policies of one scope, prepared so that a decision looks only at the rules that the peer could possibly match: rules that demand an
// exact principal, service account, namespace or port are filed under it, the rest under "any".

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "common/model/persistent_map.h"
#include "common/model/policy.h"

namespace culvert::model {

// One rule, filed because of one match of one of its clauses. That match's list of values for `by` holds when the rule is found there.
struct FiledRule {
  enum class By : std::uint8_t { kAny, kPrincipal, kServiceAccount, kNamespace, kPort };
  PolicyRef policy;
  std::uint32_t rule = 0;
  std::uint32_t clause = 0;  // unused for kAny
  std::uint32_t match = 0;
  By by = By::kAny;
};

struct PolicySet {
  // Key: one letter for `by`, then the value: "p" + principal, "s" + ns/sa, "n" + namespace, "d" + port, "" for any.
  PersistentMap<std::string, std::vector<FiledRule>> rules;
  std::vector<PolicyRef> invalid;     // enforced policies that cannot be read
  std::uint32_t enforced_allows = 0;  // ALLOW policies that are enforced
  std::uint32_t count = 0;            // policies

  void add(const PolicyRef& policy);
  void remove(const PolicyRef& policy);  // the very value that was added
};

}  // namespace culvert::model
