#include "controlplane/ca/past_roots.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/kube/test_line.h"
#include "common/net/loop.h"
#include "controlplane/ca/issuer.h"

namespace culvert::controlplane {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const auto kNow = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());

tls::Authority fresh_root() { return *tls::Authority::make_root("cluster.local", 1000h); }
std::string pem_of(const tls::Authority& authority) { return authority.certificate().pem(); }
Ca ca_under(const tls::Authority& authority, const std::string& roots) {
  return {.authority = authority, .roots_pem = roots, .from = "test"};
}

TEST(PastRoots, WhatSignedIsKeptForAWhile) {
  const std::string a = pem_of(fresh_root()), b = pem_of(fresh_root());
  PastRoots roots;
  EXPECT_TRUE(roots.signs_under({a}, kNow, 24h));
  EXPECT_FALSE(roots.signs_under({a}, kNow + 1h, 24h)) << "nothing is new";
  EXPECT_THAT(roots.past(), IsEmpty());

  EXPECT_TRUE(roots.signs_under({b}, kNow + 2h, 24h));

  EXPECT_THAT(roots.past(), ElementsAre(a));
  EXPECT_EQ(roots.next(), kNow + 26h);
  EXPECT_FALSE(roots.forget(kNow + 25h));
  EXPECT_TRUE(roots.forget(kNow + 26h));
  EXPECT_THAT(roots.past(), IsEmpty());
}

TEST(PastRoots, OneThatSignsAgainIsNotPast) {
  const std::string a = pem_of(fresh_root()), b = pem_of(fresh_root());
  PastRoots roots;
  roots.signs_under({a}, kNow, 24h);
  roots.signs_under({b}, kNow, 24h);

  EXPECT_TRUE(roots.signs_under({a}, kNow + 1h, 24h));

  EXPECT_THAT(roots.past(), ElementsAre(b));
}

TEST(PastRoots, AreTheSameOutOfTheirText) {
  const std::string a = pem_of(fresh_root()), b = pem_of(fresh_root());
  PastRoots roots;
  roots.signs_under({a}, kNow, 24h);
  roots.signs_under({b}, kNow, 24h);

  const auto read = PastRoots::parse(roots.text());

  ASSERT_TRUE(read) << read.error().text;
  EXPECT_EQ(read->text(), roots.text());
  EXPECT_EQ(read->next(), kNow + 24h);
  EXPECT_THAT(read->past(), ElementsAre(a));
}

TEST(PastRoots, OfMoreThanAFewTheLastAreKept) {
  PastRoots roots;
  std::vector<std::string> all;
  for (std::size_t i = 0; i < PastRoots::kMost + 2; ++i) {
    all.push_back(pem_of(fresh_root()));
    roots.signs_under({all.back()}, kNow + std::chrono::hours(i), 1000h);
  }

  EXPECT_EQ(roots.past().size(), PastRoots::kMost);
  EXPECT_FALSE(std::ranges::contains(roots.past(), all[0]));
  EXPECT_TRUE(std::ranges::contains(roots.past(), all[PastRoots::kMost]));
}

TEST(PastRoots, RefusesWhatIsNone) {
  for (const char* text : {"", "[]", R"({"roots":[{}]})", R"({"roots":[{"pem":"x"}]})"})
    EXPECT_FALSE(PastRoots::parse(text)) << text;
}

// One process after another.
struct IssuerWithPast : testing::Test {
  net::Loop loop;
  telemetry::Registry registry;
  std::string record;
  const tls::Authority a = fresh_root(), b = fresh_root();

  std::unique_ptr<Issuer> start(const Ca& found) {
    auto issuer = std::make_unique<Issuer>(loop, 24h, registry);
    issuer->remember(record.empty() ? PastRoots() : *PastRoots::parse(record),
                     [this](std::string text) { record = std::move(text); });
    EXPECT_TRUE(issuer->offer(found));
    return issuer;
  }
  // Would whoever has these roots trust what that authority signed?
  static bool trusts(const Issuer& issuer, const tls::Authority& authority) {
    const auto roots = tls::Certificate::parse_all(issuer.roots_pem(), tls::kMaxRoots);
    return roots && authority.check_roots(*roots).has_value();
  }
};

TEST_F(IssuerWithPast, ACaThatWasReplacedWhileNobodyRanIsTrustedOn) {
  auto issuer = start(ca_under(a, pem_of(a)));
  issuer.reset();

  issuer = start(ca_under(b, pem_of(b)));

  EXPECT_TRUE(issuer->authority().has_signed(b.certificate()) && trusts(*issuer, b));
  EXPECT_TRUE(trusts(*issuer, a)) << "certificates that it signed are in use";
  issuer.reset();
  issuer = start(ca_under(b, pem_of(b)));
  EXPECT_TRUE(trusts(*issuer, a)) << "and so after another restart";
}

TEST_F(IssuerWithPast, ARestartInAnOverlapTrustsBoth) {
  auto issuer = start(ca_under(a, pem_of(a)));
  ASSERT_TRUE(issuer->offer(ca_under(b, pem_of(b) + pem_of(a))));
  EXPECT_TRUE(issuer->authority().has_signed(a.certificate())) << "the new one waits";
  issuer.reset();

  issuer = start(ca_under(b, pem_of(b)));

  EXPECT_TRUE(issuer->authority().has_signed(b.certificate()));
  EXPECT_TRUE(trusts(*issuer, a));
}

TEST_F(IssuerWithPast, ARootThatItsOwnerTakesAwayIsTrustedNoMore) {
  auto issuer = start(ca_under(a, pem_of(a)));
  issuer.reset();
  issuer = start(ca_under(b, pem_of(b) + pem_of(a)));
  ASSERT_TRUE(trusts(*issuer, a));

  ASSERT_TRUE(issuer->offer(ca_under(b, pem_of(b))));

  EXPECT_FALSE(trusts(*issuer, a));
  issuer.reset();
  issuer = start(ca_under(b, pem_of(b)));
  EXPECT_FALSE(trusts(*issuer, a)) << "nor after a restart";
}

TEST(PastRootsWriter, WhoLosesTheLeaseWhileItWaitsForItsTurnWritesNothing) {
  net::Loop loop;
  kube::Peer peer(loop, [](const http::Request&) { return kube::answer(200, "{}"); });
  kube::Client client(loop, peer.access());
  PastRootsWriter writer(client, "mesh", "{}");

  kube::lose_in_line(loop, peer, client, [&](kube::Leadership leads) { writer.lead(std::move(leads)); });

  EXPECT_TRUE(peer.asked.empty());
}

}  // namespace
}  // namespace culvert::controlplane
