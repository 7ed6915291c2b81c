#include "common/model/admit.h"

#include <algorithm>
#include <tuple>

#include "common/base/format.h"
#include "common/model/policy_index.h"

namespace culvert::model {
namespace {

using By = FiledRule::By;

bool any(const std::vector<StringMatch>& values, std::string_view subject) {
  return std::ranges::any_of(values, [&](const StringMatch& value) { return value.matches(subject); });
}

bool any(const std::vector<ServiceAccountMatch>& values, const std::optional<Identity>& identity) {
  return identity && std::ranges::any_of(values, [&](const ServiceAccountMatch& value) {
           return value.name_space == identity->name_space && value.service_account == identity->service_account;
         });
}

bool any(const std::vector<Cidr>& values, const IpAddress& subject) {
  return std::ranges::any_of(values, [&](const Cidr& value) { return value.contains(subject); });
}

bool any(const std::vector<std::uint16_t>& values, std::uint16_t subject) {
  return std::ranges::find(values, subject) != values.end();
}

// Without identity the principal predicate is false in every form: presence too.
bool any_principal(const std::vector<StringMatch>& values, const Subject& subject) {
  return subject.peer->identity && any(values, subject.principal);
}

// `known`: the attribute whose positive values are known to hold.
bool matches_beyond(const Match& match, const Subject& subject, By known) {
  const Peer& peer = *subject.peer;
  const std::string_view name_space = peer.identity ? std::string_view(peer.identity->name_space) : std::string_view();
  const auto positive = [&](const auto& values, By by, auto&& holds) { return values.empty() || known == by || holds(); };
  if (match.empty()) return false;
  return positive(match.destination_ports, By::kPort, [&] { return any(match.destination_ports, subject.destination.port); }) &&
         !any(match.not_destination_ports, subject.destination.port) &&
         positive(match.principals, By::kPrincipal, [&] { return any_principal(match.principals, subject); }) &&
         !any_principal(match.not_principals, subject) &&
         positive(match.namespaces, By::kNamespace, [&] { return any(match.namespaces, name_space); }) &&
         !any(match.not_namespaces, name_space) &&
         positive(match.service_accounts, By::kServiceAccount, [&] { return any(match.service_accounts, peer.identity); }) &&
         !any(match.not_service_accounts, peer.identity) && (match.source_ips.empty() || any(match.source_ips, peer.source)) &&
         !any(match.not_source_ips, peer.source) &&
         (match.destination_ips.empty() || any(match.destination_ips, subject.destination.address)) &&
         !any(match.not_destination_ips, subject.destination.address);
}

bool matches(const Clause& clause, const Subject& subject) {
  return clause.matches.empty() ||
         std::ranges::any_of(clause.matches, [&](const Match& match) { return matches(match, subject); });
}

// A rule found in the index: of the clause it is filed by, only the match that brought it there is looked at.
bool matches(const FiledRule& filed, const Subject& subject) {
  const auto& clauses = filed.policy->rules[filed.rule].clauses;
  for (std::size_t i = 0; i < clauses.size(); ++i) {
    const bool here = filed.by != By::kAny && i == filed.clause;
    if (!(here ? matches_beyond(clauses[i].matches[filed.match], subject, filed.by) : matches(clauses[i], subject))) return false;
  }
  return true;
}

// Of several rules that match, which one is named must not depend on which of them arrived first: `culvert explain` names the same.
bool precedes(const FiledRule& a, const FiledRule& b) {
  const auto order = [](const FiledRule& filed) {
    return std::tie(filed.policy->scope, filed.policy->name_space, filed.policy->name, filed.rule);
  };
  return order(a) < order(b);
}

// Everything that the policies in scope say about one connection.
struct Findings {
  const FiledRule* deny = nullptr;
  const FiledRule* allow = nullptr;
  PolicyRef invalid;
  std::uint32_t allows = 0;
  std::vector<DryRun> dry_runs;

  void take(const FiledRule& filed) {
    if (filed.policy->dry_run) {
      const auto seen = std::ranges::find(dry_runs, filed.policy, &DryRun::policy);
      if (seen == dry_runs.end()) dry_runs.push_back({filed.policy, filed.rule});
      else seen->rule = std::min<std::size_t>(seen->rule, filed.rule);
      return;
    }
    const FiledRule*& slot = filed.policy->action == Policy::Action::kDeny ? deny : allow;
    if (!slot || precedes(filed, *slot)) slot = &filed;
  }

  void take(const PolicySet& set, const Subject& subject) {
    allows += set.enforced_allows;
    if (!invalid && !set.invalid.empty()) invalid = *std::ranges::min_element(set.invalid, {}, &Policy::key);
    const auto look = [&](const std::string& key) {
      const auto* rules = set.rules.find(key);
      if (!rules) return;
      for (const FiledRule& filed : *rules) {
        if (matches(filed, subject)) take(filed);
      }
    };
    if (set.rules.empty()) return;
    look("");
    look("d" + std::to_string(subject.destination.port));
    const auto& identity = subject.peer->identity;
    look("n" + (identity ? identity->name_space : ""));
    if (!identity) return;
    look("p" + subject.principal);
    look("s" + identity->name_space + "/" + identity->service_account);
  }
};

}  // namespace

Subject::Subject(const Peer& from, const Endpoint& to)
    : principal(from.identity ? from.identity->principal() : ""), peer(&from), destination(to) {}

bool matches(const Match& match, const Subject& subject) { return matches_beyond(match, subject, By::kAny); }

bool matches(const Rule& rule, const Subject& subject) {
  return std::ranges::all_of(rule.clauses, [&](const Clause& clause) { return matches(clause, subject); });
}

std::string Verdict::policy_name() const { return policy ? policy->key() : unknown; }

std::string Verdict::text() const {
  switch (reason) {
    case Reason::kPolicyUnknown: return "denied because policy " + unknown + " has not arrived";
    case Reason::kPolicyInvalid: return "denied because policy " + policy_name() + " cannot be read: " + policy->invalid;
    default: break;
  }
  if (!policy) return allowed ? "allowed, no policy applies" : "denied because no ALLOW policy matches";
  return culvert::format("{} by policy {}, rule {}: {}", allowed ? "allowed" : "denied", policy->key(), rule + 1,
                         policy->rules[rule].text());
}

Verdict admit(const Mesh& mesh, const Workload& workload, const Peer& peer, const Endpoint& destination) {
  const Subject subject(peer, destination);
  Findings found;
  std::string unknown;
  if (const PolicySet* set = mesh.global_policies()) found.take(*set, subject);
  if (const PolicySet* set = mesh.namespace_policies(workload.name_space)) found.take(*set, subject);
  for (const std::string& name : workload.policies) {
    if (const PolicySet* set = mesh.named_policy(name)) found.take(*set, subject);
    else if (unknown.empty()) unknown = name;
  }

  Verdict verdict;
  verdict.dry_runs = std::move(found.dry_runs);
  const FiledRule* decisive = found.deny;
  if (found.deny) {
    verdict.reason = Reason::kPolicyDenied;
  } else if (found.invalid) {
    verdict.reason = Reason::kPolicyInvalid;
    verdict.policy = std::move(found.invalid);
  } else if (!unknown.empty()) {
    verdict.reason = Reason::kPolicyUnknown;
    verdict.unknown = std::move(unknown);
  } else if (found.allow || found.allows == 0) {
    verdict.allowed = true;
    verdict.reason = Reason::kNone;
    decisive = found.allow;
  }
  if (decisive) {
    verdict.policy = decisive->policy;
    verdict.rule = decisive->rule;
  }
  return verdict;
}

}  // namespace culvert::model
