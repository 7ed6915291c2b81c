#pragma once
// L4 authorization policies as values (protocols.md §3.1). What they mean is decided in admit.h.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/address.h"

namespace culvert::model {

struct StringMatch {
  enum class Kind : std::uint8_t { kExact, kPrefix, kSuffix, kPresence };  // kPresence: any text that is not empty
  Kind kind = Kind::kExact;
  std::string value{};

  // "*" is presence, "*x" a suffix, "x*" a prefix, anything else exact: as AuthorizationPolicy writes it.
  static StringMatch parse(std::string_view text);
  std::string text() const;
  bool matches(std::string_view subject) const;

  friend bool operator==(const StringMatch&, const StringMatch&) = default;
};

struct ServiceAccountMatch {
  std::string name_space{};
  std::string service_account{};

  friend bool operator==(const ServiceAccountMatch&, const ServiceAccountMatch&) = default;
};

// All attributes that are given must hold; of the values of one attribute, any (not_*: none).
struct Match {
  std::vector<StringMatch> namespaces{}, not_namespaces{};
  std::vector<StringMatch> principals{}, not_principals{};  // "td/ns/x/sa/y", without spiffe://
  std::vector<ServiceAccountMatch> service_accounts{}, not_service_accounts{};
  std::vector<Cidr> source_ips{}, not_source_ips{};
  std::vector<Cidr> destination_ips{}, not_destination_ips{};
  std::vector<std::uint16_t> destination_ports{}, not_destination_ports{};

  bool empty() const;        // no attribute at all: such a Match never matches
  std::string text() const;  // "principals [a, b*], not ports [80]"

  friend bool operator==(const Match&, const Match&) = default;
};

// Any of its matches; none given: true.
struct Clause {
  std::vector<Match> matches{};
  friend bool operator==(const Clause&, const Clause&) = default;
};

// All of its clauses; none given: true.
struct Rule {
  std::vector<Clause> clauses{};
  std::string text() const;  // one line for logs: "(principals [a]) and (ports [80])"
  friend bool operator==(const Rule&, const Rule&) = default;
};

// Any of its rules; none given: never matches.
struct Policy {
  enum class Scope : std::uint8_t { kGlobal, kNamespace, kWorkloadSelector };
  enum class Action : std::uint8_t { kAllow, kDeny };

  std::string name{};
  std::string name_space{};
  Scope scope = Scope::kGlobal;
  Action action = Action::kAllow;
  std::vector<Rule> rules{};
  bool dry_run = false;  // evaluated and reported, never enforced
  // Not empty: the object that this stands for cannot be read, and says why. It denies everything in its scope (kPolicyInvalid).
  // On the wire it is a DENY with one empty rule, so that a proxy that does not know the mark denies as well.
  std::string invalid{};

  std::string key() const { return name_space + "/" + name; }

  friend bool operator==(const Policy&, const Policy&) = default;
};

using PolicyRef = std::shared_ptr<const Policy>;  // immutable, shared between threads; null is "none"

}  // namespace culvert::model
