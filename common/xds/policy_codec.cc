#include <google/protobuf/wrappers.pb.h>

#include "common/base/format.h"
#include "common/xds/codec.h"
#include "common/xds/serialise.h"
#include "proto/authorization.pb.h"

namespace culvert::xds {
namespace {

namespace wire = istio::security;
using model::Policy;
using model::StringMatch;

// Says on the wire that the policy stands for an object that cannot be read, and why. Unknown to Istio's proxies, which see a DENY of everything.
constexpr std::string_view kInvalidMark = "culvert.dev/invalid";

Result<StringMatch> decode(const wire::StringMatch& in) {
  switch (in.match_type_case()) {
    case wire::StringMatch::kExact: return StringMatch{StringMatch::Kind::kExact, in.exact()};
    case wire::StringMatch::kPrefix: return StringMatch{StringMatch::Kind::kPrefix, in.prefix()};
    case wire::StringMatch::kSuffix: return StringMatch{StringMatch::Kind::kSuffix, in.suffix()};
    case wire::StringMatch::kPresence: return StringMatch{StringMatch::Kind::kPresence, ""};
    case wire::StringMatch::MATCH_TYPE_NOT_SET: break;
  }
  return failure("a string match of no known kind");
}

template <class List>
Status decode_strings(const List& in, std::vector<StringMatch>& out) {
  for (const wire::StringMatch& each : in) {
    auto value = decode(each);
    if (!value) return std::unexpected(value.error());
    out.push_back(std::move(*value));
  }
  return {};
}

template <class List>
void decode_accounts(const List& in, std::vector<model::ServiceAccountMatch>& out) {
  for (const auto& each : in) out.push_back({each.namespace_(), each.serviceaccount()});
}

template <class List>
void decode_ports(const List& in, std::vector<std::uint16_t>& out) {
  for (const std::uint32_t port : in) out.push_back(static_cast<std::uint16_t>(port));  // 16 bits of it, as Istio's ztunnel does
}

// `emptied` is set when a list that said something says nothing any more.
template <class List>
void decode_ranges(const List& in, std::vector<Cidr>& out, bool& emptied) {
  for (const wire::Address& each : in) {
    const auto& bytes = each.address();
    auto address = IpAddress::from_bytes({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
    if (!address) continue;
    if (auto range = Cidr::make(*address, each.length())) out.push_back(*range);
  }
  emptied = emptied || (!in.empty() && out.empty());
}

Result<model::Match> decode(const wire::Match& in, bool& emptied) {
  model::Match out;
  if (auto done = decode_strings(in.namespaces(), out.namespaces); !done) return std::unexpected(done.error());
  if (auto done = decode_strings(in.not_namespaces(), out.not_namespaces); !done) return std::unexpected(done.error());
  if (auto done = decode_strings(in.principals(), out.principals); !done) return std::unexpected(done.error());
  if (auto done = decode_strings(in.not_principals(), out.not_principals); !done) return std::unexpected(done.error());
  decode_accounts(in.service_accounts(), out.service_accounts);
  decode_accounts(in.not_service_accounts(), out.not_service_accounts);
  decode_ranges(in.source_ips(), out.source_ips, emptied);
  decode_ranges(in.not_source_ips(), out.not_source_ips, emptied);
  decode_ranges(in.destination_ips(), out.destination_ips, emptied);
  decode_ranges(in.not_destination_ips(), out.not_destination_ips, emptied);
  decode_ports(in.destination_ports(), out.destination_ports);
  decode_ports(in.not_destination_ports(), out.not_destination_ports);
  return out;
}

Result<std::vector<model::Rule>> decode_rules(const wire::Authorization& in, bool& emptied) {
  std::vector<model::Rule> out;
  for (const wire::Rule& rule : in.rules()) {
    auto& clauses = out.emplace_back().clauses;
    for (const wire::Clause& clause : rule.clauses()) {
      auto& matches = clauses.emplace_back().matches;
      for (const wire::Match& each : clause.matches()) {
        auto match = decode(each, emptied);
        if (!match) return std::unexpected(match.error());
        matches.push_back(std::move(*match));
      }
    }
  }
  return out;
}

std::string invalid_mark(const wire::Authorization& in) {
  for (const auto& extension : in.extensions()) {
    if (extension.name() != kInvalidMark) continue;
    google::protobuf::StringValue text;
    if (extension.config().UnpackTo(&text) && !text.value().empty()) return text.value();
    return "its object cannot be read";
  }
  return "";
}

template <class List>
void encode_strings(const std::vector<StringMatch>& values, List* out) {
  for (const StringMatch& value : values) {
    auto* added = out->Add();
    switch (value.kind) {
      case StringMatch::Kind::kExact: added->set_exact(value.value); break;
      case StringMatch::Kind::kPrefix: added->set_prefix(value.value); break;
      case StringMatch::Kind::kSuffix: added->set_suffix(value.value); break;
      case StringMatch::Kind::kPresence: added->mutable_presence(); break;
    }
  }
}

template <class List>
void encode_accounts(const std::vector<model::ServiceAccountMatch>& values, List* out) {
  for (const auto& value : values) {
    auto* added = out->Add();
    added->set_namespace_(value.name_space);
    added->set_serviceaccount(value.service_account);
  }
}

template <class List>
void encode_ranges(const std::vector<Cidr>& values, List* out) {
  for (const Cidr& value : values) {
    auto* added = out->Add();
    const auto bytes = value.address.bytes();
    added->set_address(bytes.data(), bytes.size());
    added->set_length(value.length);
  }
}

void fill(wire::Match& out, const model::Match& match) {
  encode_strings(match.namespaces, out.mutable_namespaces());
  encode_strings(match.not_namespaces, out.mutable_not_namespaces());
  encode_strings(match.principals, out.mutable_principals());
  encode_strings(match.not_principals, out.mutable_not_principals());
  encode_accounts(match.service_accounts, out.mutable_service_accounts());
  encode_accounts(match.not_service_accounts, out.mutable_not_service_accounts());
  encode_ranges(match.source_ips, out.mutable_source_ips());
  encode_ranges(match.not_source_ips, out.mutable_not_source_ips());
  encode_ranges(match.destination_ips, out.mutable_destination_ips());
  encode_ranges(match.not_destination_ips, out.mutable_not_destination_ips());
  for (const auto port : match.destination_ports) out.add_destination_ports(port);
  for (const auto port : match.not_destination_ports) out.add_not_destination_ports(port);
}

}  // namespace

std::string key(const Policy& policy) { return policy.key(); }

Result<Policy> decode_policy(std::string_view bytes) {
  wire::Authorization in;
  if (!in.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return failure("not an istio.security.Authorization");
  if (in.name().empty()) return failure("the policy has no name");
  if (!wire::Scope_IsValid(in.scope())) return failure(culvert::format("scope {} is unknown", static_cast<int>(in.scope())));
  if (!wire::Action_IsValid(in.action())) return failure(culvert::format("action {} is unknown", static_cast<int>(in.action())));
  bool emptied = false;
  auto rules = decode_rules(in, emptied);
  if (!rules) return std::unexpected(rules.error());
  Policy out{.name = in.name(),
             .name_space = in.namespace_(),
             .rules = std::move(*rules),
             .dry_run = in.dry_run(),
             .invalid = invalid_mark(in)};
  out.scope = static_cast<Policy::Scope>(in.scope());
  out.action = static_cast<Policy::Action>(in.action());
  if (emptied && out.invalid.empty()) out.invalid = "a list of addresses holds nothing but malformed ones";
  return out;
}

std::optional<Policy> unreadable_policy(std::string_view bytes, std::string_view why) {
  wire::Authorization in;
  if (!in.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) || in.name().empty() || !wire::Scope_IsValid(in.scope()))
    return std::nullopt;
  Policy out{.name = in.name(), .name_space = in.namespace_(), .dry_run = in.dry_run(), .invalid = std::string(why)};
  out.scope = static_cast<Policy::Scope>(in.scope());
  out.action = Policy::Action::kDeny;
  return out;
}

std::string encode(const Policy& policy) {
  wire::Authorization out;
  out.set_name(policy.name);
  out.set_namespace_(policy.name_space);
  out.set_scope(static_cast<wire::Scope>(policy.scope));
  out.set_action(static_cast<wire::Action>(policy.action));
  out.set_dry_run(policy.dry_run);
  for (const model::Rule& rule : policy.rules) {
    auto* added = out.add_rules();
    for (const model::Clause& clause : rule.clauses) {
      auto* clauses = added->add_clauses();
      for (const model::Match& match : clause.matches) fill(*clauses->add_matches(), match);
    }
  }
  if (!policy.invalid.empty()) {
    out.set_action(wire::DENY);
    out.clear_rules();
    out.add_rules();
    google::protobuf::StringValue text;
    text.set_value(policy.invalid);
    auto* mark = out.add_extensions();
    mark->set_name(std::string(kInvalidMark));
    mark->mutable_config()->PackFrom(text);
  }
  return serialise(out);
}

}  // namespace culvert::xds
