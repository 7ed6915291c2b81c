#include "controlplane/ca/rotation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace culvert::controlplane {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

const tls::SystemTime kMade = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
constexpr RotationPolicy kPolicy{.overlap = 24h, .grace_percent = 20, .root_lifetime = 1000h, .longest_leaf = 48h, .check = 1h};

// A CA as it is kept, and what happens to it.
struct Kept {
  explicit Kept(tls::SystemTime from = kMade) {
    const auto root = *tls::Authority::make_root("cluster.local", kPolicy.root_lifetime, from);
    texts.set("ca-cert.pem", root.certificate().pem());
    texts.set("ca-key.pem", root.key_pair().key().private_pem());
    texts.set("root-cert.pem", root.certificate().pem());
  }
  void apply(const std::vector<CaEdit>& edits, std::size_t count = 100) {
    for (const CaEdit& edit : edits) {
      if (count-- == 0) return;
      if (edit.text) texts.set(edit.name, *edit.text);
      else texts.remove(edit.name);
    }
  }
  RootStep step(tls::SystemTime now) const { return next_step(*life_of(texts), kPolicy, now); }
  std::vector<CaEdit> edits(tls::SystemTime now) const { return *edits_for(step(now), texts, "cluster.local", kPolicy, now); }
  std::vector<std::string> roots() const {
    std::vector<std::string> out;
    const auto all = tls::Certificate::parse_all(*texts.find("root-cert.pem"));
    for (const auto& root : *all) out.push_back(root.serial());
    return out;
  }
  std::string signer() const {
    const auto authority = tls::Authority::load(*texts.find("ca-cert.pem"), *texts.find("ca-key.pem"));
    return authority ? authority->certificate().serial() : authority.error().text;
  }
  CaTexts texts;
};

tls::Certificate not_a_root_of_ours() {
  return tls::Authority::make_root("cluster.local")
      ->make_workload(*Identity::parse("spiffe://cluster.local/ns/a/sa/b"), 1h)
      ->leaf();
}

TEST(Rotation, TheLastPartOfTenYearsMayBeAsLongAsTheSettingsAllow) {
  const RootLife life{.begins = kMade, .ends = kMade + 24h * 3650, .announced = {}, .switched = {}, .previous_ends = {}};
  const RotationPolicy policy{.grace_percent = 90};

  EXPECT_EQ(next_step(life, policy, kMade + 24h * 364), RootStep::kNone);
  EXPECT_EQ(next_step(life, policy, kMade + 24h * 366), RootStep::kAnnounce);
}

TEST(Rotation, GoesThroughItsStepsAndEveryRootIsTrustedBeforeItSignsAndAfterwards) {
  Kept kept;
  const std::string old = kept.signer();
  EXPECT_EQ(kept.step(kMade), RootStep::kNone);
  EXPECT_EQ(kept.step(kMade + 799h), RootStep::kNone);

  const auto announced = kMade + 801h;
  EXPECT_EQ(kept.step(announced), RootStep::kAnnounce);
  kept.apply(kept.edits(announced));
  EXPECT_EQ(kept.signer(), old);
  EXPECT_THAT(kept.roots(), ElementsAre(old, testing::_));
  EXPECT_EQ(kept.step(announced + 23h), RootStep::kNone);

  EXPECT_EQ(kept.step(announced + 24h), RootStep::kSwitch);
  kept.apply(kept.edits(announced + 24h));
  const std::string next = kept.signer();
  EXPECT_NE(next, old);
  EXPECT_THAT(kept.roots(), ElementsAre(old, next));
  EXPECT_EQ(kept.texts.find("next-key.pem"), nullptr);
  EXPECT_EQ(kept.step(announced + 24h + 47h), RootStep::kNone);

  EXPECT_EQ(kept.step(announced + 24h + 48h), RootStep::kRetire);
  kept.apply(kept.edits(announced + 24h + 48h));
  EXPECT_THAT(kept.roots(), ElementsAre(next));
  EXPECT_EQ(kept.step(announced + 24h + 48h), RootStep::kNone);
  EXPECT_EQ(kept.texts.all().size(), 3U);
}

// In a folder, files are written one after the other.
TEST(Rotation, RootsOfOthersStayWhereTheirOwnerHasPutThem) {
  const auto of_another_mesh = tls::Authority::make_root("cluster.local")->certificate();  // by a culvertd, too
  for (const tls::Certificate& foreign : {not_a_root_of_ours(), of_another_mesh}) {
    Kept kept;
    const std::string old = kept.signer();
    kept.texts.set("root-cert.pem", *kept.texts.find("root-cert.pem") + foreign.pem());
    EXPECT_EQ(kept.step(kMade), RootStep::kNone);

    const auto announced = kMade + 801h;
    kept.apply(kept.edits(announced));
    EXPECT_THAT(kept.roots(), ElementsAre(old, testing::_, foreign.serial()));

    kept.apply(kept.edits(announced + 24h));
    const std::string next = kept.signer();
    EXPECT_EQ(kept.step(announced + 24h + 48h), RootStep::kRetire);
    kept.apply(kept.edits(announced + 24h + 48h));
    EXPECT_THAT(kept.roots(), ElementsAre(next, foreign.serial()));
    EXPECT_EQ(kept.step(announced + 24h + 48h), RootStep::kNone);
  }
}

TEST(Rotation, RootsThatCannotBeReadAreNotWrittenOver) {
  Kept kept;
  kept.texts.set("root-cert.pem",
                 *kept.texts.find("root-cert.pem") + "-----BEGIN CERTIFICATE-----\nnot a word\n-----END CERTIFICATE-----\n");

  const auto edits = edits_for(RootStep::kAnnounce, kept.texts, "cluster.local", kPolicy, kMade + 801h);

  ASSERT_FALSE(edits);
  EXPECT_THAT(edits.error().text, HasSubstr("root-cert.pem: "));
}

TEST(Rotation, MayBeCutShortAnywhere) {
  for (std::size_t cut = 0; cut < 6; ++cut) {
    Kept kept;
    const std::string old = kept.signer();
    auto now = kMade + 801h;
    kept.apply(kept.edits(now), cut);
    if (kept.step(now) == RootStep::kAnnounce) kept.apply(kept.edits(now));
    EXPECT_EQ(kept.signer(), old) << cut;
    EXPECT_EQ(kept.roots().size(), 2U) << cut;

    now += 24h;
    kept.apply(kept.edits(now), cut);
    kept.apply(rest_of_switch(kept.texts));
    if (kept.step(now) == RootStep::kSwitch) kept.apply(kept.edits(now));
    EXPECT_NE(kept.signer(), old) << cut;
    EXPECT_EQ(kept.texts.find("next-cert.pem"), nullptr) << cut;
    EXPECT_EQ(kept.roots().size(), 2U) << cut;

    now += 48h;
    kept.apply(kept.edits(now), cut);
    if (kept.step(now) == RootStep::kRetire) kept.apply(kept.edits(now));
    EXPECT_THAT(kept.roots(), ElementsAre(kept.signer())) << cut;
    EXPECT_EQ(kept.step(now), RootStep::kNone) << cut;
  }
}

TEST(Rotation, AnEndThatIsNearIsNotWaitedFor) {
  const RootLife life{.begins = kMade, .ends = kMade + 10h, .announced = kMade + 9h, .switched = {}, .previous_ends = {}};
  EXPECT_EQ(next_step(life, kPolicy, kMade + 9h), RootStep::kNone);
  EXPECT_EQ(next_step(life, kPolicy, kMade + 10h), RootStep::kSwitch) << "the old one has ended";
  EXPECT_EQ(next_step({.begins = kMade, .ends = kMade + 100h, .announced = {}, .switched = {}, .previous_ends = {}}, kPolicy,
                      kMade + 75h),
            RootStep::kAnnounce)
      << "a fifth of its life is less than the overlap";
}

TEST(Rotation, WhatCannotBeReadIsSaid) {
  CaTexts texts;
  EXPECT_THAT(life_of(texts).error().text, HasSubstr("has no ca-cert.pem"));
  texts.set("ca-cert.pem", "x");
  EXPECT_THAT(life_of(texts).error().text, HasSubstr("ca-cert.pem: reading a certificate"));
}

TEST(Rotation, OnlyOurOwnRootsAreReplaced) {
  EXPECT_TRUE(is_self_made(tls::Authority::make_root("cluster.local")->certificate()));
  EXPECT_FALSE(is_self_made(not_a_root_of_ours()));
}

}  // namespace
}  // namespace culvert::controlplane
