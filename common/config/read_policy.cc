// Istio's security objects, strictly: what istiod's validation refuses is refused here, with the field named.
#include <algorithm>
#include <array>

#include "common/config/read.h"

namespace culvert::config {
namespace {

using Mode = PeerAuthentication::Mode;
using Texts = std::vector<std::string>;

Labels read_selector(Fields& spec) {
  Labels labels;
  spec.map("selector", [&](Fields& selector) { labels = selector.labels("matchLabels"); });
  for (const auto& [key, value] : labels) {
    if (key.empty()) spec.wrong("selector", "an empty label name selects nothing", "write a label's name");
    if (key.contains('*') || value.contains('*'))
      spec.wrong("selector", "wildcards are not allowed in a selector", "write the whole label");
  }
  return labels;
}

Mode read_mode(Fields& fields) {
  return fields.choice<Mode>(
      "mode", Mode::kUnset,
      {{"STRICT", Mode::kStrict}, {"PERMISSIVE", Mode::kPermissive}, {"DISABLE", Mode::kDisable}, {"UNSET", Mode::kUnset}});
}

// A decimal port number in a string, as Istio's lists of ports have them.
std::uint16_t port_of(std::string_view text) {
  std::uint32_t value = 0;
  if (text.empty() || text.size() > 5) return 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return 0;
    value = value * 10 + static_cast<std::uint32_t>(c - '0');
  }
  return value <= 65535 ? static_cast<std::uint16_t>(value) : 0;
}

void read_port_level(Fields& spec, PeerAuthentication& policy) {
  if (spec.has("portLevelMtls") && policy.selector.empty()) {
    spec.wrong("portLevelMtls", "needs a selector", "name the pods with selector.matchLabels, or set mtls.mode for all ports");
  }
  spec.each_named("portLevelMtls", [&](std::string_view name, Fields& mtls) {
    const std::uint16_t port = port_of(name);
    const Mode mode = read_mode(mtls);
    if (port == 0) return mtls.refuse("is not a port", "write 1 to 65535");
    policy.ports[port] = mode;
  });
}

Texts words(Fields& fields, std::string_view name) {
  Texts out = fields.texts(name);
  if (std::ranges::contains(out, "")) fields.wrong(name, "an empty value matches nothing", "remove it, or write \"*\" for any");
  return out;
}

std::vector<Cidr> blocks(Fields& fields, std::string_view name) {
  std::vector<Cidr> out;
  for (const std::string& text : fields.texts(name)) {
    if (auto block = Cidr::parse(text)) {
      out.push_back(*block);
    } else {
      fields.wrong(name, quote(text) + " is not an address or a prefix", "write for example 10.0.0.0/8 or fd00::1");
    }
  }
  return out;
}

std::vector<std::uint16_t> ports(Fields& fields, std::string_view name) {
  std::vector<std::uint16_t> out;
  for (const std::string& text : fields.texts(name)) {
    if (const std::uint16_t port = port_of(text)) {
      out.push_back(port);
    } else {
      fields.wrong(name, quote(text) + " is not a port", "write \"1\" to \"65535\"");
    }
  }
  return out;
}

// "ns/sa" or "sa": at most one slash, no empty part, no wildcard.
void check_service_accounts(Fields& fields, std::string_view name, const Texts& accounts) {
  for (const std::string& account : accounts) {
    const bool slashes = std::ranges::count(account, '/') > 1 || account.starts_with('/') || account.ends_with('/');
    if (slashes || account.contains('*')) {
      fields.wrong(name, quote(account) + " is not a service account", "write NAMESPACE/NAME or NAME, without wildcards");
    }
  }
}

AuthorizationPolicy::Source read_source(Fields& fields) {
  AuthorizationPolicy::Source source;
  source.principals = words(fields, "principals");
  source.not_principals = words(fields, "notPrincipals");
  source.request_principals = words(fields, "requestPrincipals");
  source.not_request_principals = words(fields, "notRequestPrincipals");
  source.namespaces = words(fields, "namespaces");
  source.not_namespaces = words(fields, "notNamespaces");
  source.service_accounts = words(fields, "serviceAccounts");
  source.not_service_accounts = words(fields, "notServiceAccounts");
  source.trust_domains = words(fields, "trustDomains");
  source.not_trust_domains = words(fields, "notTrustDomains");
  source.ip_blocks = blocks(fields, "ipBlocks");
  source.not_ip_blocks = blocks(fields, "notIpBlocks");
  source.remote_ip_blocks = blocks(fields, "remoteIpBlocks");
  source.not_remote_ip_blocks = blocks(fields, "notRemoteIpBlocks");

  check_service_accounts(fields, "serviceAccounts", source.service_accounts);
  check_service_accounts(fields, "notServiceAccounts", source.not_service_accounts);
  return source;
}

AuthorizationPolicy::Operation read_operation(Fields& fields) {
  AuthorizationPolicy::Operation operation;
  operation.ports = ports(fields, "ports");
  operation.not_ports = ports(fields, "notPorts");
  operation.hosts = words(fields, "hosts");
  operation.not_hosts = words(fields, "notHosts");
  operation.methods = words(fields, "methods");
  operation.not_methods = words(fields, "notMethods");
  operation.paths = words(fields, "paths");
  operation.not_paths = words(fields, "notPaths");
  return operation;
}

// The keys of `when` that the L4 data plane reads have values of a known form; istiod refuses other forms, and unknown keys too.
void check_condition(Fields& fields, const AuthorizationPolicy::Condition& condition) {
  constexpr std::array<std::string_view, 13> kKeys = {"source.ip",
                                                      "remote.ip",
                                                      "source.namespace",
                                                      "source.principal",
                                                      "source.serviceAccount",
                                                      "request.auth.principal",
                                                      "request.auth.audiences",
                                                      "request.auth.presenter",
                                                      "destination.ip",
                                                      "destination.port",
                                                      "connection.sni",
                                                      "destination.labels",
                                                      "destination.name"};
  constexpr std::array<std::string_view, 3> kMaps = {"request.headers[", "request.auth.claims[", "experimental.envoy.filters."};
  const std::string& key = condition.key;
  const bool known = std::ranges::find(kKeys, key) != kKeys.end() || std::ranges::any_of(kMaps, [&](std::string_view map) {
                       return key.starts_with(map) && (map.back() == '.' || key.ends_with(']'));
                     });
  if (!known)
    fields.wrong("key", "unknown key " + quote(key), "write for example source.ip, source.principal or destination.port");
  for (const Texts* values : {&condition.values, &condition.not_values}) {
    const std::string_view name = values == &condition.values ? "values" : "notValues";
    for (const std::string& value : *values) {
      const bool ip = key == "source.ip" || key == "destination.ip" || key == "remote.ip";
      if (ip && !Cidr::parse(value)) fields.wrong(name, quote(value) + " is not an address or a prefix");
      if (key == "source.serviceAccount") check_service_accounts(fields, name, {value});
      if (key == "destination.port" && port_of(value) == 0) fields.wrong(name, quote(value) + " is not a port");
    }
  }
}

AuthorizationPolicy::Condition read_condition(Fields& fields) {
  AuthorizationPolicy::Condition condition{fields.text("key"), words(fields, "values"), words(fields, "notValues")};
  if (condition.key.empty()) {
    fields.wrong("key", "is missing", "write for example source.ip");
  } else {
    check_condition(fields, condition);
  }
  if (condition.values.empty() && condition.not_values.empty()) fields.wrong("values", "is missing", "write values or notValues");
  return condition;
}

// A list that is there must say something: istiod refuses `from: []`, and an entry without any attribute.
void refuse_empty_list(Fields& fields, std::string_view name) {
  const Tree* list = fields.find(name);
  if (list && list->type == Tree::Type::kList && list->items.empty())
    fields.wrong(name, "is empty", "remove the field to match everything");
}

// Reads one entry of `from` or `to`. One without any attribute is refused, unless something in it was wrong anyway.
template <class Read>
auto said_something(Fields& entry, std::string_view name, Fields& fields, Read read) {
  const std::size_t before = fields.report().problems.size();
  auto value = read(fields);
  if (value == decltype(value){} && fields.all_known() && fields.report().problems.size() == before) {
    entry.wrong(name, "has no attribute", "write at least one");
  }
  return value;
}

AuthorizationPolicy::Rule read_rule(Fields& fields) {
  AuthorizationPolicy::Rule rule;
  for (const std::string_view name : {"from", "to"}) refuse_empty_list(fields, name);
  fields.each("from", [&](Fields& from) {
    from.require("source", "write the source's attributes under source");
    from.map("source", [&](Fields& source) { rule.from.push_back(said_something(from, "source", source, read_source)); });
  });
  fields.each("to", [&](Fields& to) {
    to.require("operation", "write the operation's attributes under operation");
    to.map("operation",
           [&](Fields& operation) { rule.to.push_back(said_something(to, "operation", operation, read_operation)); });
  });
  fields.each("when", [&](Fields& when) { rule.when.push_back(read_condition(when)); });
  return rule;
}

void read_targets(Fields& spec, AuthorizationPolicy& policy) {
  const auto read = [&](Fields& fields) {
    fields.require("kind", "write for example Gateway or Service");
    fields.require("name", "write the target's name");
    const std::string name_space = fields.text("namespace");
    if (!name_space.empty() && name_space != policy.metadata.name_space)
      fields.wrong("namespace", "is not the policy's own", "remove it: a target is in the namespace of its policy");
    policy.target_refs.push_back({fields.text("group"), fields.text("kind"), fields.text("name")});
  };
  spec.map("targetRef", read);
  if (!policy.target_refs.empty() && spec.has("targetRefs"))
    spec.wrong("targetRefs", "stands beside targetRef", "write one of the two");
  spec.each("targetRefs", read);
  if (!policy.target_refs.empty() && spec.has("selector"))
    spec.wrong("selector", "stands beside targetRefs", "write one of the two");
}

// As Go's strconv.ParseBool, by which istiod reads it.
bool read_dry_run(Fields& object, const Metadata& metadata) {
  const auto found = metadata.annotations->find("istio.io/dry-run");
  if (found == metadata.annotations.end()) return false;
  for (const std::string_view yes : {"1", "t", "T", "true", "TRUE", "True"}) {
    if (found->second == yes) return true;
  }
  for (const std::string_view no : {"0", "f", "F", "false", "FALSE", "False"}) {
    if (found->second == no) return false;
  }
  object.wrong("metadata", "annotation istio.io/dry-run: " + quote(found->second) + " says neither yes nor no",
               "write \"true\" or \"false\"");
  return false;
}

void check_action(Fields& spec, const AuthorizationPolicy& policy) {
  using Action = AuthorizationPolicy::Action;
  const bool custom = policy.action == Action::kCustom;
  if (custom && policy.provider.empty()) spec.wrong("provider", "is missing", "action CUSTOM needs provider.name");
  if (!custom && spec.has("provider")) spec.wrong("provider", "is only read with action CUSTOM", "remove it");
  if ((policy.action == Action::kDeny || custom) && !spec.has("rules")) {
    spec.wrong("rules", "is missing, so that the policy has no effect", "write rules: [{}] to match everything");
  }
}

}  // namespace

Object read_peer_authentication(Fields& object, Metadata metadata) {
  PeerAuthentication policy;
  policy.metadata = std::move(metadata);
  object.skip({"status"});
  object.map("spec", [&](Fields& spec) {
    policy.selector = read_selector(spec);
    spec.map("mtls", [&](Fields& mtls) { policy.mode = read_mode(mtls); });
    read_port_level(spec, policy);
  });
  return policy;
}

Object read_authorization_policy(Fields& object, Metadata metadata) {
  using Action = AuthorizationPolicy::Action;
  AuthorizationPolicy policy;
  policy.metadata = std::move(metadata);
  policy.dry_run = read_dry_run(object, policy.metadata);
  object.skip({"status"});
  object.map("spec", [&](Fields& spec) {
    policy.selector = read_selector(spec);
    policy.action = spec.choice<Action>(
        "action", Action::kAllow,
        {{"ALLOW", Action::kAllow}, {"DENY", Action::kDeny}, {"AUDIT", Action::kAudit}, {"CUSTOM", Action::kCustom}});
    spec.map("provider", [&](Fields& provider) { policy.provider = provider.text("name"); });
    read_targets(spec, policy);
    spec.each("rules", [&](Fields& rule) { policy.rules.push_back(read_rule(rule)); });
    check_action(spec, policy);
  });
  return policy;
}

}  // namespace culvert::config
