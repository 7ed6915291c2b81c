#include "common/model/admit.h"

#include <gtest/gtest.h>

#include <ctime>
#include <random>

#include "common/model/policy_index.h"
#include "common/model/test_addresses.h"

namespace culvert::model {
namespace {

using Scope = Policy::Scope;
using Action = Policy::Action;

Cidr cidr(std::string_view text) { return Cidr::parse(text).value(); }
std::vector<StringMatch> strings(std::initializer_list<std::string_view> texts) {
  std::vector<StringMatch> out;
  for (const auto text : texts) out.push_back(StringMatch::parse(text));
  return out;
}

const Endpoint kTarget = to("10.0.0.9:8080");
const Peer kSleep{Identity{"td", "ns1", "sleep"}, IpAddress::parse("10.0.0.1").value()};
const Peer kPlain{std::nullopt, IpAddress::parse("10.0.0.2").value()};

bool holds(const Match& match, const Peer& peer) { return matches(match, Subject(peer, kTarget)); }
bool holds(const Rule& rule, const Peer& peer) { return matches(rule, Subject(peer, kTarget)); }

// One row of the table of attributes: does the match hold for a peer with identity, and for one without?
struct Row {
  const char* name;
  Match match;
  bool sleep;
  bool plain;
};

class Attributes : public testing::TestWithParam<Row> {};

TEST_P(Attributes, HoldAsTheTableSays) {
  EXPECT_EQ(holds(GetParam().match, kSleep), GetParam().sleep);
  EXPECT_EQ(holds(GetParam().match, kPlain), GetParam().plain);
}

INSTANTIATE_TEST_SUITE_P(
    Match, Attributes,
    testing::Values(
        Row{"an empty match never holds", {}, false, false},
        Row{"principal exact", {.principals = strings({"td/ns/ns1/sa/sleep"})}, true, false},
        Row{"principal with the scheme is another", {.principals = strings({"spiffe://td/ns/ns1/sa/sleep"})}, false, false},
        Row{"principal other", {.principals = strings({"td/ns/ns1/sa/other"})}, false, false},
        Row{"principal any of several", {.principals = strings({"x", "td/ns/ns1/sa/sleep"})}, true, false},
        Row{"principal prefix", {.principals = strings({"td/ns/ns1/*"})}, true, false},
        Row{"principal suffix", {.principals = strings({"*/sleep"})}, true, false},
        Row{"principal suffix other", {.principals = strings({"*/awake"})}, false, false},
        Row{"principal is case-sensitive", {.principals = strings({"TD/ns/ns1/sa/sleep"})}, false, false},
        Row{"principal presence", {.principals = strings({"*"})}, true, false},
        Row{"not principal exact", {.not_principals = strings({"td/ns/ns1/sa/sleep"})}, false, true},
        Row{"not principal other", {.not_principals = strings({"td/ns/x/sa/y"})}, true, true},
        Row{"not principal presence: no identity", {.not_principals = strings({"*"})}, false, true},
        Row{"an empty prefix needs an identity all the same", {.principals = {{StringMatch::Kind::kPrefix, ""}}}, true, false},
        Row{"namespace exact", {.namespaces = strings({"ns1"})}, true, false},
        Row{"namespace other", {.namespaces = strings({"ns2"})}, false, false},
        Row{"namespace presence", {.namespaces = strings({"*"})}, true, false},
        Row{"namespace exact and empty is the missing one", {.namespaces = {{StringMatch::Kind::kExact, ""}}}, false, true},
        Row{"not namespace", {.not_namespaces = strings({"ns1"})}, false, true},
        Row{"not namespace presence", {.not_namespaces = strings({"*"})}, false, true},
        Row{"service account", {.service_accounts = {{"ns1", "sleep"}}}, true, false},
        Row{"service account of another namespace", {.service_accounts = {{"ns2", "sleep"}}}, false, false},
        Row{"not service account", {.not_service_accounts = {{"ns1", "sleep"}}}, false, true},
        Row{"source ip", {.source_ips = {cidr("10.0.0.1")}}, true, false},
        Row{"source range", {.source_ips = {cidr("10.0.0.0/30")}}, true, true},
        Row{"source range of the other family", {.source_ips = {cidr("fd00::/8"), cidr("::/0")}}, false, false},
        Row{"not source ip", {.not_source_ips = {cidr("10.0.0.1/32")}}, false, true},
        Row{"destination ip", {.destination_ips = {cidr("10.0.0.9")}}, true, true},
        Row{"destination ip other", {.destination_ips = {cidr("10.0.0.8")}}, false, false},
        Row{"not destination ip", {.not_destination_ips = {cidr("10.0.0.0/8")}}, false, false},
        Row{"destination port", {.destination_ports = {80, 8080}}, true, true},
        Row{"destination port other", {.destination_ports = {80}}, false, false},
        Row{"not destination port", {.not_destination_ports = {8080}}, false, false},
        Row{"not destination port other", {.not_destination_ports = {80}}, true, true},
        Row{"attributes are ANDed", {.principals = strings({"*"}), .destination_ports = {8080}}, true, false},
        Row{"attributes are ANDed with negatives",
            {.namespaces = strings({"ns1"}), .not_destination_ports = {8080}},
            false,
            false},
        Row{"positive and negative of one attribute",
            {.namespaces = strings({"*"}), .not_namespaces = strings({"ns2"})},
            true,
            false}),
    [](const auto& row) {
      std::string name = row.param.name;
      for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
      return name;
    });

TEST(Rules, CombineAsTheTableSays) {
  const Match yes{.namespaces = strings({"ns1"})};
  const Match no{.namespaces = strings({"ns2"})};
  const Match empty;

  EXPECT_TRUE(holds(Rule{}, kSleep));                    // no clauses: everything
  EXPECT_TRUE(holds(Rule{{Clause{}}}, kSleep));          // no matches: true
  EXPECT_FALSE(holds(Rule{{Clause{{empty}}}}, kSleep));  // only empty matches: false
  EXPECT_FALSE(holds(Rule{{Clause{{empty, empty}}}}, kSleep));
  EXPECT_TRUE(holds(Rule{{Clause{{empty, yes}}}}, kSleep));  // matches: any
  EXPECT_TRUE(holds(Rule{{Clause{{no, yes}}}}, kSleep));
  EXPECT_FALSE(holds(Rule{{Clause{{no, no}}}}, kSleep));
  EXPECT_FALSE(holds(Rule{{Clause{{yes}}, Clause{{no}}}}, kSleep));  // clauses: all
  EXPECT_TRUE(holds(Rule{{Clause{{yes}}, Clause{}, Clause{{yes}}}}, kSleep));
  EXPECT_FALSE(holds(Rule{{Clause{{yes}}, Clause{{empty}}}}, kSleep));
}

Policy policy(std::string_view name, Action action, std::vector<Rule> rules, Scope scope = Scope::kNamespace,
              std::string_view name_space = "ns") {
  return {.name = std::string(name),
          .name_space = std::string(name_space),
          .scope = scope,
          .action = action,
          .rules = std::move(rules)};
}
Rule from(std::string_view principal) { return {{Clause{{Match{.principals = strings({principal})}}}}}; }
const Rule kAnything;
const Rule kNoIdentity{{Clause{{Match{.not_principals = strings({"*"})}}}}};

struct Admission {
  MeshBuilder builder;
  Workload workload;

  Admission() { workload.uid = "w", workload.name_space = "ns"; }
  Admission& with(Policy policy) {
    builder.upsert(std::move(policy));
    return *this;
  }
  Admission& naming(std::string name) {
    workload.policies.push_back(std::move(name));
    return *this;
  }
  Verdict verdict(const Peer& peer) const { return admit(builder.current(), workload, peer, kTarget); }
};

TEST(Admit, AllowsEverythingWithoutPolicies) {
  const Verdict verdict = Admission().verdict(kPlain);

  EXPECT_TRUE(verdict.allowed);
  EXPECT_EQ(verdict.reason, Reason::kNone);
  EXPECT_EQ(verdict.policy_name(), "");
  EXPECT_EQ(verdict.text(), "allowed, no policy applies");
}

TEST(Admit, DenyWinsOverAllow) {
  auto world = Admission()
                   .with(policy("allow", Action::kAllow, {kAnything}))
                   .with(policy("deny", Action::kDeny, {from("td/ns/ns1/sa/sleep")}));

  const Verdict denied = world.verdict(kSleep);
  EXPECT_FALSE(denied.allowed);
  EXPECT_EQ(denied.reason, Reason::kPolicyDenied);
  EXPECT_EQ(denied.policy_name(), "ns/deny");
  EXPECT_EQ(denied.text(), "denied by policy ns/deny, rule 1: (principals [td/ns/ns1/sa/sleep])");
  EXPECT_TRUE(world.verdict(kPlain).allowed);
}

TEST(Admit, AnAllowThatDoesNotMatchDenies) {
  auto world = Admission().with(policy("allow", Action::kAllow, {from("td/ns/other/sa/x"), from("td/ns/ns1/sa/sleep")}));

  EXPECT_TRUE(world.verdict(kSleep).allowed);
  EXPECT_EQ(world.verdict(kSleep).rule, 1u);
  const Verdict denied = world.verdict(kPlain);
  EXPECT_EQ(denied.reason, Reason::kPolicyDenied);
  EXPECT_EQ(denied.policy_name(), "");
  EXPECT_EQ(denied.text(), "denied because no ALLOW policy matches");
}

TEST(Admit, AnAllowWithoutRulesDeniesEverybodyAndADenyWithoutRulesNobody) {
  EXPECT_FALSE(Admission().with(policy("allow-nothing", Action::kAllow, {})).verdict(kSleep).allowed);
  EXPECT_TRUE(Admission().with(policy("deny-nothing", Action::kDeny, {})).verdict(kSleep).allowed);
}

TEST(Admit, AnAllowWhoseOnlyRuleCanNeverMatchStillDenies) {
  EXPECT_FALSE(Admission().with(policy("allow", Action::kAllow, {Rule{{Clause{{Match{}}}}}})).verdict(kSleep).allowed);
}

TEST(Admit, OnlyPoliciesInScopeCount) {
  EXPECT_TRUE(Admission().with(policy("p", Action::kDeny, {kAnything}, Scope::kNamespace, "elsewhere")).verdict(kSleep).allowed);
  EXPECT_FALSE(Admission().with(policy("p", Action::kDeny, {kAnything}, Scope::kGlobal, "root")).verdict(kSleep).allowed);
  EXPECT_TRUE(Admission().with(policy("p", Action::kDeny, {kAnything}, Scope::kWorkloadSelector)).verdict(kSleep).allowed);
  EXPECT_FALSE(
      Admission().with(policy("p", Action::kDeny, {kAnything}, Scope::kWorkloadSelector)).naming("ns/p").verdict(kSleep).allowed);
  EXPECT_FALSE(Admission()
                   .with(policy("p", Action::kDeny, {kAnything}, Scope::kWorkloadSelector, "root"))
                   .naming("root/p")
                   .verdict(kSleep)
                   .allowed);
}

TEST(Admit, AllowsOfDifferentScopesAreAlternatives) {
  auto world = Admission()
                   .with(policy("global", Action::kAllow, {from("td/ns/g/sa/g")}, Scope::kGlobal, "root"))
                   .with(policy("namespace", Action::kAllow, {from("td/ns/ns1/sa/sleep")}));

  EXPECT_TRUE(world.verdict(kSleep).allowed);
  EXPECT_FALSE(world.verdict(kPlain).allowed);
}

TEST(Admit, RefusesPlaintextWhenStrict) {
  auto world =
      Admission()
          .with(policy("istio_converted_static_strict", Action::kDeny, {kNoIdentity}, Scope::kWorkloadSelector, "istio-system"))
          .naming("istio-system/istio_converted_static_strict");

  EXPECT_TRUE(world.verdict(kSleep).allowed);
  EXPECT_EQ(world.verdict(kPlain).policy_name(), "istio-system/istio_converted_static_strict");
}

TEST(Admit, SaysWhichNamedPolicyIsUnknownUnlessAnotherDenies) {
  auto world = Admission()
                   .with(policy("deny", Action::kDeny, {kNoIdentity}))
                   .with(policy("allow", Action::kAllow, {kAnything}))
                   .naming("ns/missing");

  const Verdict waiting = world.verdict(kSleep);
  EXPECT_FALSE(waiting.allowed);
  EXPECT_EQ(waiting.reason, Reason::kPolicyUnknown);
  EXPECT_EQ(waiting.policy_name(), "ns/missing");
  EXPECT_EQ(waiting.text(), "denied because policy ns/missing has not arrived");
  EXPECT_EQ(world.verdict(kPlain).reason, Reason::kPolicyDenied);

  world.with(policy("missing", Action::kDeny, {kNoIdentity}, Scope::kWorkloadSelector));
  EXPECT_TRUE(world.verdict(kSleep).allowed);
}

TEST(Admit, AnInvalidPolicyDeniesItsScope) {
  auto broken = policy("broken", Action::kDeny, {kAnything});
  broken.invalid = "policies.yaml:7: unknown field \"form\"";
  auto world = Admission().with(broken).with(policy("allow", Action::kAllow, {kAnything}));

  const Verdict denied = world.verdict(kSleep);
  EXPECT_EQ(denied.reason, Reason::kPolicyInvalid);
  EXPECT_EQ(denied.text(), "denied because policy ns/broken cannot be read: policies.yaml:7: unknown field \"form\"");

  broken.name_space = "elsewhere";
  EXPECT_TRUE(Admission().with(broken).verdict(kSleep).allowed);
}

TEST(Admit, DryRunIsOnlyReported) {
  auto deny = policy("deny", Action::kDeny, {from("td/ns/ns1/sa/sleep")});
  auto allow = policy("allow", Action::kAllow, {from("td/ns/other/sa/x")});
  deny.dry_run = allow.dry_run = true;
  auto world = Admission().with(deny).with(allow);

  const Verdict verdict = world.verdict(kSleep);
  EXPECT_TRUE(verdict.allowed);
  ASSERT_EQ(verdict.dry_runs.size(), 1u);
  EXPECT_EQ(verdict.dry_runs[0].policy->name, "deny");
  EXPECT_TRUE(world.verdict(kPlain).allowed);
  EXPECT_TRUE(world.verdict(kPlain).dry_runs.empty());
}

TEST(Admit, ForgetsARemovedPolicy) {
  auto world = Admission().with(policy("deny", Action::kDeny, {from("td/ns/ns1/sa/sleep"), kNoIdentity}));
  EXPECT_FALSE(world.verdict(kSleep).allowed);

  world.builder.remove_policy("ns/deny");
  EXPECT_TRUE(world.verdict(kSleep).allowed);
  EXPECT_TRUE(world.verdict(kPlain).allowed);
}

// The index must give the same answers as the meaning of the policies, rule by rule.
class Anything {
 public:
  explicit Anything(unsigned seed) : random_(seed) {}
  unsigned upto(unsigned n) { return random_() % n; }
  bool rarely() { return upto(4) == 0; }

  std::vector<StringMatch> some(std::initializer_list<std::string_view> texts) {
    std::vector<StringMatch> out;
    for (unsigned i = 1 + upto(2); i > 0; --i)
      out.push_back(StringMatch::parse(*(texts.begin() + upto(static_cast<unsigned>(texts.size())))));
    return out;
  }
  Match match() {
    Match out;
    if (rarely()) out.principals = some({"td/ns/a/sa/x", "td/ns/b/sa/y", "td/ns/a/*", "*/y", "*"});
    if (rarely()) out.not_principals = some({"td/ns/a/sa/x", "*", "*/y"});
    if (rarely()) out.namespaces = some({"a", "b", "*"});
    if (rarely()) out.not_namespaces = some({"a", "b", "c"});
    if (rarely()) out.service_accounts = {{"a", upto(2) ? "x" : "y"}};
    if (rarely()) out.not_service_accounts = {{"b", "y"}};
    if (rarely()) out.destination_ports = {static_cast<std::uint16_t>(80 + upto(2))};
    if (rarely()) out.source_ips = {cidr(upto(2) ? "10.0.0.0/31" : "fd00::/8")};
    return out;
  }
  Policy next(int number) {
    Policy out = policy("p" + std::to_string(number), upto(2) ? Action::kAllow : Action::kDeny, {}, static_cast<Scope>(upto(3)));
    for (unsigned i = upto(3); i > 0; --i) {
      Rule rule;
      for (unsigned j = upto(3); j > 0; --j) {
        Clause clause;
        for (unsigned k = upto(3); k > 0; --k) clause.matches.push_back(match());
        rule.clauses.push_back(clause);
      }
      out.rules.push_back(rule);
    }
    return out;
  }

 private:
  std::mt19937 random_;
};

bool allowed_by_meaning(const std::vector<Policy>& policies, const Peer& peer, const Endpoint& destination) {
  bool allows = false, allowed = false;
  for (const Policy& each : policies) {
    bool matched = false;
    for (const Rule& rule : each.rules) matched = matched || matches(rule, Subject(peer, destination));
    if (each.action == Action::kDeny && matched) return false;
    if (each.action == Action::kAllow) allows = true, allowed = allowed || matched;
  }
  return !allows || allowed;
}

TEST(Admit, TheIndexAgreesWithTheMeaningOfRandomPolicies) {
  const std::vector<Peer> peers{{Identity{"td", "a", "x"}, kSleep.source},
                                {Identity{"td", "b", "y"}, kPlain.source},
                                {Identity{"td", "a", "z"}, kPlain.source},
                                kPlain};
  for (unsigned seed = 0; seed < 3000; ++seed) {
    Anything anything(seed);
    Admission world;
    std::vector<Policy> policies;
    for (int i = 0; i < 4; ++i) {
      Policy next = anything.next(i % 3);  // the fourth replaces the first
      if (i == 3) policies.erase(policies.begin());
      policies.push_back(next);
      world.with(next);
      if (next.scope == Scope::kWorkloadSelector && (i == 0 || i > 2)) world.workload.policies = {next.key()};
    }
    std::erase_if(policies, [&](const Policy& each) {
      return each.scope == Scope::kWorkloadSelector &&
             std::ranges::find(world.workload.policies, each.key()) == world.workload.policies.end();
    });
    // A name that survived a change of scope still names the policy.
    for (const Peer& peer : peers) {
      for (const std::uint16_t port : {80, 81}) {
        const Endpoint destination{kTarget.address, port};
        const Verdict verdict = admit(world.builder.current(), world.workload, peer, destination);
        ASSERT_EQ(verdict.allowed, allowed_by_meaning(policies, peer, destination)) << "seed " << seed << ": " << verdict.text();
      }
    }
  }
}

// A thousand verdicts among so many policies, in this thread's own time: what else the machine does is not in it.
std::clock_t cost_among(int policies) {
  Admission world;
  for (int i = 0; i < policies; ++i)
    world.with(policy("p" + std::to_string(i), Action::kAllow, {from("td/ns/n" + std::to_string(i) + "/sa/s")}));
  const Peer peer{Identity{"td", "n" + std::to_string(policies - 1), "s"}, kSleep.source};
  const std::clock_t start = std::clock();
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(world.verdict(peer).allowed);
  return std::clock() - start;
}

TEST(Admit, ManyPoliciesCostLittle) {
  const auto few = cost_among(10), many = cost_among(10'000);
  EXPECT_LT(many, 100 * few) << "one after the other they would take a thousand times as long";
}

TEST(Admit, NamesTheSamePolicyWhicheverCameFirst) {
  const auto deny = [](const std::string& name, std::size_t rules) {
    Policy policy{.name = name, .name_space = "shop", .scope = Policy::Scope::kNamespace, .action = Policy::Action::kDeny};
    policy.rules.resize(rules);
    return policy;
  };
  Workload own;
  own.uid = "own", own.name_space = "shop";
  for (const bool backwards : {false, true}) {
    MeshBuilder builder;
    std::vector<Policy> policies = {deny("a", 2), deny("b", 1), deny("c", 1)};
    if (backwards) std::ranges::reverse(policies);
    for (const Policy& policy : policies) builder.upsert(policy);

    const Verdict verdict = admit(builder.current(), own, Peer{}, *Endpoint::parse("10.0.0.1:80"));

    EXPECT_EQ(verdict.text(), "denied by policy shop/a, rule 1: anything") << backwards;
  }
}

}  // namespace
}  // namespace culvert::model
