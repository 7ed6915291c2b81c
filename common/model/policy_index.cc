#include "common/model/policy_index.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

namespace culvert::model {
namespace {

using By = FiledRule::By;
using Keys = std::vector<std::string>;

bool all_exact(const std::vector<StringMatch>& values) {
  return !values.empty() &&
         std::ranges::all_of(values, [](const StringMatch& value) { return value.kind == StringMatch::Kind::kExact; });
}

// The keys under which a match can be found by this attribute; nothing when the attribute does not bound it.
std::optional<Keys> keys_of(const Match& match, By by) {
  Keys keys;
  switch (by) {
    case By::kPrincipal:
      if (!all_exact(match.principals)) return std::nullopt;
      for (const auto& value : match.principals) keys.push_back("p" + value.value);
      return keys;
    case By::kServiceAccount:
      if (match.service_accounts.empty()) return std::nullopt;
      for (const auto& value : match.service_accounts) keys.push_back("s" + value.name_space + "/" + value.service_account);
      return keys;
    case By::kNamespace:
      if (!all_exact(match.namespaces)) return std::nullopt;
      for (const auto& value : match.namespaces) keys.push_back("n" + value.value);
      return keys;
    case By::kPort:
      if (match.destination_ports.empty()) return std::nullopt;
      for (const auto value : match.destination_ports) keys.push_back("d" + std::to_string(value));
      return keys;
    case By::kAny: return std::nullopt;
  }
  return std::nullopt;
}

struct Filing {
  std::vector<std::pair<std::string, FiledRule>> places;
  bool never = false;  // the rule can match nothing
};

// Tries to file a rule under one clause, by one attribute that every match of the clause bounds.
std::optional<Filing> file_under(const PolicyRef& policy, std::uint32_t rule, std::uint32_t clause, By by) {
  Filing filing;
  const auto& matches = policy->rules[rule].clauses[clause].matches;
  for (std::uint32_t match = 0; match < matches.size(); ++match) {
    if (matches[match].empty()) continue;  // never matches
    auto keys = keys_of(matches[match], by);
    if (!keys) return std::nullopt;
    for (const std::string& key : std::set<std::string>(keys->begin(), keys->end())) {
      filing.places.emplace_back(key, FiledRule{policy, rule, clause, match, by});
    }
  }
  filing.never = filing.places.empty();
  return filing;
}

Filing file(const PolicyRef& policy, std::uint32_t rule) {
  const auto& clauses = policy->rules[rule].clauses;
  for (const By by : {By::kPrincipal, By::kServiceAccount, By::kNamespace, By::kPort}) {
    for (std::uint32_t clause = 0; clause < clauses.size(); ++clause) {
      if (clauses[clause].matches.empty()) continue;
      if (auto filing = file_under(policy, rule, clause, by)) return std::move(*filing);
    }
  }
  return {{{"", FiledRule{policy, rule}}}, false};
}

}  // namespace

void PolicySet::add(const PolicyRef& policy) {
  ++count;
  if (!policy->dry_run && !policy->invalid.empty()) invalid.push_back(policy);
  if (!policy->invalid.empty()) return;
  if (!policy->dry_run && policy->action == Policy::Action::kAllow) ++enforced_allows;
  for (std::uint32_t rule = 0; rule < policy->rules.size(); ++rule) {
    for (auto& [key, filed] : file(policy, rule).places) {
      rules.change(std::move(key), [&](std::vector<FiledRule>& there) { there.push_back(std::move(filed)); });
    }
  }
}

void PolicySet::remove(const PolicyRef& policy) {
  --count;
  std::erase(invalid, policy);
  if (!policy->invalid.empty()) return;
  if (!policy->dry_run && policy->action == Policy::Action::kAllow) --enforced_allows;
  for (std::uint32_t rule = 0; rule < policy->rules.size(); ++rule) {
    for (auto& [key, unused] : file(policy, rule).places) {
      bool empty = false;
      rules.change(key, [&](std::vector<FiledRule>& there) {
        std::erase_if(there, [&](const FiledRule& filed) { return filed.policy == policy; });
        empty = there.empty();
      });
      if (empty) rules.erase(key);
    }
  }
}

}  // namespace culvert::model
