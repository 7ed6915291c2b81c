#include "controlplane/ca/overlap.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace culvert::controlplane {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

const Overlap::Time kNoon = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());

tls::Authority root(std::chrono::seconds lifetime = 1000h) {
  return *tls::Authority::make_root("cluster.local", lifetime, kNoon);
}
std::string pem(const tls::Authority& authority) { return authority.certificate().pem(); }
CaRef ca(const tls::Authority& authority, const std::string& roots) {
  return std::make_shared<const Ca>(Ca{.authority = authority, .roots_pem = roots, .from = "test"});
}

struct OverlapTest : testing::Test {
  const tls::Authority a = root(), b = root();
  Overlap overlap{24h};
  std::string signs() const { return overlap.signer().authority.certificate().serial(); }
  std::string published() const { return overlap.published().roots_pem; }
};

TEST_F(OverlapTest, WhatAStartFindsSignsAtOnce) {
  EXPECT_FALSE(overlap.there());
  const auto change = overlap.offer(ca(a, pem(a)), kNoon);

  ASSERT_TRUE(change);
  EXPECT_TRUE(change->signer && change->roots);
  EXPECT_EQ(signs(), a.certificate().serial());
  EXPECT_FALSE(overlap.due());
}

TEST_F(OverlapTest, ANewIntermediateOfAKnownRootSignsAtOnce) {
  const auto one = *a.make_intermediate("one", 100h, kNoon), two = *a.make_intermediate("two", 100h, kNoon);
  ASSERT_TRUE(overlap.offer(ca(one, pem(a)), kNoon));

  const auto change = overlap.offer(ca(two, pem(a)), kNoon + 1h);

  ASSERT_TRUE(change) << change.error().text;
  EXPECT_TRUE(change->signer);
  EXPECT_FALSE(change->roots);
  EXPECT_EQ(signs(), two.certificate().serial());
}

TEST_F(OverlapTest, ANewRootIsPublishedFirstAndSignsLater) {
  ASSERT_TRUE(overlap.offer(ca(a, pem(a)), kNoon));

  const auto change = overlap.offer(ca(b, pem(a) + pem(b)), kNoon + 1h);

  ASSERT_TRUE(change) << change.error().text;
  EXPECT_TRUE(!change->signer && change->roots);
  EXPECT_EQ(signs(), a.certificate().serial());
  EXPECT_EQ(published(), pem(a) + pem(b));
  EXPECT_EQ(overlap.due(), kNoon + 25h);
  EXPECT_FALSE(overlap.tick(kNoon + 24h).signer);
  EXPECT_TRUE(overlap.tick(kNoon + 25h).signer);
  EXPECT_EQ(signs(), b.certificate().serial());
  EXPECT_FALSE(overlap.due());
}

TEST_F(OverlapTest, ARootThatHasBeenPublishedLongEnoughSignsAtOnce) {
  ASSERT_TRUE(overlap.offer(ca(a, pem(a)), kNoon));
  ASSERT_TRUE(overlap.offer(ca(a, pem(a) + pem(b)), kNoon + 1h));
  EXPECT_FALSE(overlap.due());

  const auto change = overlap.offer(ca(b, pem(a) + pem(b)), kNoon + 26h);

  ASSERT_TRUE(change);
  EXPECT_TRUE(change->signer);
}

TEST_F(OverlapTest, RootsThatDoNotLeadToWhatIsInUseAreRefused) {
  ASSERT_TRUE(overlap.offer(ca(a, pem(a)), kNoon));

  const auto change = overlap.offer(ca(b, pem(b)), kNoon + 1h);

  ASSERT_FALSE(change);
  EXPECT_THAT(change.error().text, HasSubstr("keep the root of before in root-cert.pem"));
  EXPECT_EQ(signs(), a.certificate().serial());
  EXPECT_EQ(published(), pem(a));
  const tls::Authority longer = root(2000h);
  EXPECT_TRUE(overlap.offer(ca(longer, pem(longer)), kNoon + 1001h)) << "what was in use has ended";
}

TEST_F(OverlapTest, ACaThatItsOwnRootsDoNotTrustIsRefused) {
  EXPECT_FALSE(overlap.offer(ca(a, pem(b)), kNoon));
  EXPECT_FALSE(overlap.there());
}

TEST_F(OverlapTest, TheOldRootMayGoOnceTheNewOneSigns) {
  ASSERT_TRUE(overlap.offer(ca(a, pem(a)), kNoon));
  ASSERT_TRUE(overlap.offer(ca(b, pem(a) + pem(b)), kNoon));
  EXPECT_FALSE(overlap.offer(ca(b, pem(b)), kNoon + 1h)) << "too early: the old one still signs";
  EXPECT_TRUE(overlap.tick(kNoon + 24h).signer);

  const auto early = overlap.offer(ca(b, pem(b)), kNoon + 25h);

  ASSERT_TRUE(early);
  EXPECT_TRUE(early->roots && early->hasty) << "it is the user's word, and said to be early";
}

TEST_F(OverlapTest, AChangeOfMindWhileOneWaits) {
  ASSERT_TRUE(overlap.offer(ca(a, pem(a)), kNoon));
  ASSERT_TRUE(overlap.offer(ca(b, pem(a) + pem(b)), kNoon));

  const auto back = overlap.offer(ca(a, pem(a)), kNoon + 1h);

  ASSERT_TRUE(back) << back.error().text;
  EXPECT_TRUE(back->roots && !back->signer && !back->hasty);
  EXPECT_FALSE(overlap.due());
  EXPECT_FALSE(overlap.tick(kNoon + 100h).signer);
}

TEST_F(OverlapTest, WhatEndsIsReplacedAlsoBeforeTheOverlapHasPassed) {
  const tls::Authority brief = root(2h);
  ASSERT_TRUE(overlap.offer(ca(brief, pem(brief)), kNoon));
  ASSERT_TRUE(overlap.offer(ca(b, pem(brief) + pem(b)), kNoon + 1h));

  EXPECT_EQ(overlap.due(), kNoon + 2h);
  EXPECT_TRUE(overlap.tick(kNoon + 2h).signer);
}

TEST_F(OverlapTest, TheSameAgainIsNoChange) {
  ASSERT_TRUE(overlap.offer(ca(a, pem(a)), kNoon));
  const auto change = overlap.offer(ca(a, pem(a)), kNoon + 1h);
  EXPECT_TRUE(change && !change->signer && !change->roots);
}

}  // namespace
}  // namespace culvert::controlplane
