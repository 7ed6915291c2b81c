#include "common/derive/authorization.h"

#include <algorithm>
#include <iterator>
#include <ranges>
#include <set>
#include <utility>

#include "common/model/workload.h"

namespace culvert::derive {
namespace {

using config::AuthorizationPolicy;
using Action = AuthorizationPolicy::Action;
using Texts = std::vector<std::string>;

std::vector<model::StringMatch> matches(const Texts& texts) {
  std::vector<model::StringMatch> out;
  for (const std::string& text : texts) out.push_back(model::StringMatch::parse(text));
  return out;
}

// The trust domain that a principal names; empty when it names none, or a pattern.
std::string_view trust_domain_of(std::string_view principal) {
  const std::string_view domain = principal.substr(0, principal.find('/'));
  return domain.size() == principal.size() || domain.contains('*') ? std::string_view() : domain;
}

// Whether it is another name of the mesh's own: an alias, or cluster.local, by which istiod's policies mean whatever the mesh is called.
bool is_alias(std::string_view domain, const Settings& settings) {
  return domain == model::kDefaultTrustDomain || std::ranges::contains(settings.trust_domain_aliases, domain);
}

// Who is of an alias of the trust domain is of it, and shows that: a policy that names the alias means him as well.
std::vector<model::StringMatch> principals(const Texts& texts, const Settings& settings) {
  std::vector<model::StringMatch> out = matches(texts);
  for (const std::string& text : texts) {
    const std::string_view domain = trust_domain_of(text);
    if (domain.empty() || domain == settings.trust_domain || !is_alias(domain, settings)) continue;
    out.push_back(model::StringMatch::parse(settings.trust_domain + text.substr(domain.size())));
  }
  return out;
}

// A rule may name many of one: each trust domain once.
void say_strangers(const AuthorizationPolicy::Rule& rule, const std::string& where, const Settings& settings, Texts& out) {
  std::set<std::string_view> strangers;
  const auto look = [&](const Texts& texts) {
    for (const std::string& text : texts) {
      const std::string_view domain = trust_domain_of(text);
      if (!domain.empty() && domain != settings.trust_domain && !is_alias(domain, settings)) strangers.insert(domain);
    }
  };
  for (const auto& source : rule.from) {
    look(source.principals);
    look(source.not_principals);
  }
  for (const auto& condition : rule.when) {
    if (condition.key != "source.principal") continue;
    look(condition.values);
    look(condition.not_values);
  }
  for (const std::string_view domain : strangers) {
    out.push_back(domain == "spiffe:" ? where + ": principals are written without spiffe://: those with it match nobody"
                                      : where + ": principals of trust domain " + std::string(domain) +
                                            " match nobody: it is neither " + settings.trust_domain + " nor an alias of it");
  }
}

// "ns/sa", or "sa" in the policy's own namespace.
std::vector<model::ServiceAccountMatch> accounts(const Texts& texts, const std::string& name_space) {
  std::vector<model::ServiceAccountMatch> out;
  for (const std::string& text : texts) {
    const std::size_t slash = text.find('/');
    if (slash == std::string::npos) {
      out.push_back({name_space, text});
    } else {
      out.push_back({text.substr(0, slash), text.substr(slash + 1)});
    }
  }
  return out;
}

std::vector<Cidr> cidrs(const Texts& texts) {
  std::vector<Cidr> out;
  for (const std::string& text : texts) {
    if (auto cidr = Cidr::parse(text)) out.push_back(*cidr);  // checked when the object was read
  }
  return out;
}

std::vector<std::uint16_t> ports(const Texts& texts) {
  std::vector<std::uint16_t> out;
  for (const std::string& text : texts) out.push_back(static_cast<std::uint16_t>(std::atoi(text.c_str())));  // checked when read
  return out;
}

// One entry of `from`, `to` or `when`, and whether an L4 proxy sees all that it asks.
struct Entry {
  model::Match match;
  bool whole = true;
};

Entry entry_of(const AuthorizationPolicy::Source& source, const std::string& name_space, const Settings& settings) {
  model::Match match;
  match.principals = principals(source.principals, settings);
  match.not_principals = principals(source.not_principals, settings);
  match.namespaces = matches(source.namespaces);
  match.not_namespaces = matches(source.not_namespaces);
  match.service_accounts = accounts(source.service_accounts, name_space);
  match.not_service_accounts = accounts(source.not_service_accounts, name_space);
  match.source_ips = source.ip_blocks;
  match.not_source_ips = source.not_ip_blocks;
  const bool whole = source.request_principals.empty() && source.not_request_principals.empty() &&
                     source.remote_ip_blocks.empty() && source.not_remote_ip_blocks.empty() && source.trust_domains.empty() &&
                     source.not_trust_domains.empty();
  return {std::move(match), whole};
}

Entry entry_of(const AuthorizationPolicy::Operation& operation) {
  model::Match match;
  match.destination_ports = operation.ports;
  match.not_destination_ports = operation.not_ports;
  const bool whole = operation.hosts.empty() && operation.not_hosts.empty() && operation.methods.empty() &&
                     operation.not_methods.empty() && operation.paths.empty() && operation.not_paths.empty();
  return {std::move(match), whole};
}

Entry entry_of(const AuthorizationPolicy::Condition& condition, const std::string& name_space, const Settings& settings) {
  model::Match match;
  if (condition.key == "source.ip") {
    match.source_ips = cidrs(condition.values);
    match.not_source_ips = cidrs(condition.not_values);
  } else if (condition.key == "source.namespace") {
    match.namespaces = matches(condition.values);
    match.not_namespaces = matches(condition.not_values);
  } else if (condition.key == "source.principal") {
    match.principals = principals(condition.values, settings);
    match.not_principals = principals(condition.not_values, settings);
  } else if (condition.key == "source.serviceAccount") {
    match.service_accounts = accounts(condition.values, name_space);
    match.not_service_accounts = accounts(condition.not_values, name_space);
  } else if (condition.key == "destination.ip") {
    match.destination_ips = cidrs(condition.values);
    match.not_destination_ips = cidrs(condition.not_values);
  } else if (condition.key == "destination.port") {
    match.destination_ports = ports(condition.values);
    match.not_destination_ports = ports(condition.not_values);
  } else {
    return {{}, false};
  }
  return {std::move(match), true};
}

struct ConvertedRule {
  model::Rule rule;
  bool wider = false;     // an entry asks for less than it did, so that it matches more
  bool narrower = false;  // an entry that asked for nothing else is out: what it alone matched does not match
  bool never = false;     // a clause consists of such entries only, so that the rule cannot match

  bool whole() const { return !wider && !narrower; }
};

// One clause for `to`, one for `from`, one for each `when`.
ConvertedRule convert(const AuthorizationPolicy::Rule& rule, const std::string& name_space, const Settings& settings) {
  ConvertedRule out;
  const auto close = [&out](std::vector<Entry> entries) {
    if (entries.empty()) return;
    model::Clause clause;
    bool any = false;
    for (Entry& entry : entries) {
      const bool empty = entry.match.empty();
      out.wider = out.wider || (!entry.whole && !empty);
      out.narrower = out.narrower || (!entry.whole && empty);
      any = any || !empty;
      clause.matches.push_back(std::move(entry.match));
    }
    out.never = out.never || !any;
    out.rule.clauses.push_back(std::move(clause));
  };
  std::vector<Entry> to, from;
  for (const auto& operation : rule.to) to.push_back(entry_of(operation));
  for (const auto& source : rule.from) from.push_back(entry_of(source, name_space, settings));
  close(std::move(to));
  close(std::move(from));
  for (const auto& condition : rule.when) close({entry_of(condition, name_space, settings)});
  return out;
}

// Why nothing of the policy goes to an L4 proxy; empty when something does.
std::string not_for_l4(const AuthorizationPolicy& policy, const Settings& settings) {
  if (!policy.target_refs.empty()) return "has targetRefs: it is for waypoints, which this version does not have";
  if (policy.action == Action::kAudit) return "action AUDIT is not enforced by the L4 proxy";
  if (policy.action == Action::kCustom) return "action CUSTOM is not enforced by the L4 proxy";
  if (policy.dry_run && !settings.dry_run_policies)
    return "is a dry run, which is not sent (AMBIENT_ENABLE_DRY_RUN_AUTHORIZATION_POLICY)";
  return "";
}

// What a rule of a DENY policy says other than it does; empty when it says it all.
std::string lost_in_denial(const ConvertedRule& rule) {
  if (rule.whole()) return "";
  if (rule.never)
    return "a whole from, to or when entry asks only for what a waypoint sees: this rule denies NOTHING without one";
  if (!rule.narrower) return "what only a waypoint sees is left out: this rule denies more than it says";
  const std::string left_out = "entries that ask only for what a waypoint sees are left out: this rule denies LESS than it says";
  return rule.wider ? left_out + ", and by entries that ask for it beside other things more" : left_out;
}

model::Policy::Scope scope_of(const AuthorizationPolicy& policy, const Settings& settings) {
  if (!policy.selector.empty()) return model::Policy::Scope::kWorkloadSelector;
  return policy.metadata.name_space == settings.root_namespace ? model::Policy::Scope::kGlobal : model::Policy::Scope::kNamespace;
}

}  // namespace

Converted convert(const AuthorizationPolicy& policy, const Settings& settings) {
  Converted out;
  if (std::string why = not_for_l4(policy, settings); !why.empty()) {
    out.warnings.push_back(std::move(why));
    return out;
  }
  const bool allow = policy.action == Action::kAllow;
  model::Policy converted;
  converted.name = policy.metadata.name;
  converted.name_space = policy.metadata.name_space;
  converted.scope = scope_of(policy, settings);
  converted.action = allow ? model::Policy::Action::kAllow : model::Policy::Action::kDeny;
  converted.dry_run = policy.dry_run;
  for (std::size_t i = 0; i < policy.rules.size(); ++i) {
    ConvertedRule rule = convert(policy.rules[i], converted.name_space, settings);
    const std::string where = "spec.rules[" + std::to_string(i) + "]";
    if (!rule.whole() && allow) {
      out.warnings.push_back(
          where + ": asks for what only a waypoint sees (hosts, methods, paths, request.*, ...): this rule allows nothing");
      continue;
    }
    if (std::string lost = lost_in_denial(rule); !lost.empty()) out.warnings.push_back(where + ": " + lost);
    say_strangers(policy.rules[i], where, settings, out.warnings);
    converted.rules.push_back(std::move(rule.rule));
  }
  if (!allow && policy.rules.empty()) out.warnings.push_back("spec.rules is empty: the policy denies nothing");
  out.policy = std::move(converted);
  return out;
}

bool is_sent(const AuthorizationPolicy& policy, const Settings& settings) { return not_for_l4(policy, settings).empty(); }

std::vector<std::string> selecting_policies(const config::Metadata& workload, const Objects& objects, const Settings& settings) {
  std::vector<std::string> out;
  const auto collect = [&](const std::string& name_space) {
    for (const std::string_view name : objects.selecting(config::Kind::kAuthorizationPolicy, name_space, workload.labels)) {
      const auto* policy = objects.find<AuthorizationPolicy>(config::Kind::kAuthorizationPolicy, name_space, name);
      if (is_sent(*policy, settings)) out.push_back(name_space + "/" + std::string(name));
    }
  };
  collect(workload.name_space);
  if (workload.name_space != settings.root_namespace) collect(settings.root_namespace);
  std::ranges::sort(out);
  return out;
}

std::optional<model::Policy> unreadable_policy(std::string_view name_space, const Objects& objects, const Settings& settings) {
  constexpr std::size_t kMost = 20;  // names; the message goes to every client
  const bool root = name_space == settings.root_namespace;
  std::vector<config::Key> keys = objects.unreadable(name_space);
  if (root && !name_space.empty()) std::ranges::move(objects.unreadable(""), std::back_inserter(keys));
  std::erase_if(keys, [](const config::Key& key) { return !config::is_policy(key.kind); });
  if (keys.empty()) return std::nullopt;
  std::string names;
  for (const config::Key& key : keys | std::views::take(kMost)) names.append(names.empty() ? "" : ", ").append(key.text());
  if (keys.size() > kMost) names += " and " + std::to_string(keys.size() - kMost) + " more";
  model::Policy policy;
  policy.name = "policy_invalid";
  policy.name_space = name_space;
  policy.scope = root ? model::Policy::Scope::kGlobal : model::Policy::Scope::kNamespace;
  policy.action = model::Policy::Action::kDeny;
  policy.rules = {model::Rule{}};  // a rule without clauses matches everything
  policy.invalid = "cannot be read: " + names;
  return policy;
}

}  // namespace culvert::derive
