#include "common/kube/intake.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/base/test_freed.h"
#include "common/kube/test_events.h"

namespace culvert::kube {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

struct IntakeTest : testing::Test {
  std::vector<std::string> said;
  std::vector<std::string> texts;
  Intake intake{{.value = 300, .depth = 10}, [this](const Event& event) {
                  said.push_back(text_of(event));
                  if (const auto* put = std::get_if<Put>(&event)) texts.push_back(put->json);
                }};

  std::vector<std::string> next() { return std::exchange(said, {}); }
  // A list in one page.
  Result<std::string> list(std::string_view text) {
    intake.begin_list();
    intake.begin_page();
    if (auto fed = intake.feed_page(text); !fed) return std::unexpected(fed.error());
    auto more = intake.end_page();
    if (more) intake.end_list();
    return more;
  }
};

TEST_F(IntakeTest, AListPutsItsItemsWithTheKindThatTheyLack) {
  const std::string text = list_text({object("a", "1"), object("b", "2")}, "9");
  ASSERT_TRUE(list(text));
  EXPECT_THAT(next(), ElementsAre("+n/a 1@1", "+n/b 2@2", "synced"));
  EXPECT_EQ(texts.front(),
            R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"a","namespace":"n","uid":"1","resourceVersion":"1"}})");
  EXPECT_EQ(intake.version(), "9");
  EXPECT_EQ(intake.held(), 2U);
}

TEST_F(IntakeTest, WhatANewListDoesNotHaveIsGoneOnceItIsWhole) {
  ASSERT_TRUE(list(list_text({object("a", "1"), object("b", "2"), object("c", "3")}, "9")));
  next();
  intake.begin_list();
  intake.begin_page();
  ASSERT_TRUE(intake.feed_page(list_text({object("b", "2")}, "10", "more")));
  EXPECT_EQ(*intake.end_page(), "more");
  EXPECT_THAT(next(), ElementsAre("+n/b 2@2"));
  intake.begin_page();
  ASSERT_TRUE(intake.feed_page(list_text({object("c", "33")}, "10")));
  EXPECT_EQ(*intake.end_page(), "");
  EXPECT_THAT(next(), ElementsAre("-n/c 3", "+n/c 33@33"));  // another one of that name

  intake.end_list();

  EXPECT_THAT(next(), ElementsAre("-n/a 1"));
}

TEST_F(IntakeTest, AListThatIsCutOffIsNoList) {
  ASSERT_TRUE(list(list_text({object("a", "1")}, "9")));
  const std::string text = list_text({object("b", "2")}, "10");
  for (std::size_t end = 0; end < text.size() - 1; ++end) EXPECT_FALSE(list(text.substr(0, end))) << end;
  EXPECT_THAT(list(R"({"kind":"Status","metadata":{}})").error().text, HasSubstr("got Status instead of a list"));
  EXPECT_FALSE(list("<html>"));
  EXPECT_FALSE(list(""));
  EXPECT_EQ(intake.version(), "9");
  EXPECT_GE(intake.held(), 1U);
}

TEST_F(IntakeTest, AnItemThatCannotBeReadIsSkippedAndStaysWhatItWas) {
  const std::string bad = R"({"metadata":{"name":"a","namespace":"n","uid":"1"},"spec":{"x":nul}})";
  const std::string large = R"({"metadata":{"name":"b","namespace":"n","uid":"2"},"spec":")" + std::string(400, 'x') + "\"}";
  ASSERT_TRUE(list(list_text({object("a", "1"), object("b", "2"), object("c", "3")}, "9")));
  next();

  ASSERT_TRUE(list(list_text({bad, large}, "10")));

  EXPECT_THAT(next(), ElementsAre(HasSubstr("!n/a JSON: syntax error"), "!n/b too long", "-n/c 3"));
}

TEST_F(IntakeTest, WhatCouldNeverBeReadIsGoneLikeEverythingElse) {
  const std::string bad = R"({"metadata":{"name":"a","namespace":"n","uid":"1"},"spec":{"x":nul}})";
  const std::string worse = R"({"metadata":{"name":"b","namespace":"n","uid":"2"},"spec":{"x":nul}})";
  ASSERT_TRUE(list(list_text({bad, worse}, "9")));
  next();
  intake.begin_watch(false);
  ASSERT_TRUE(intake.feed_watch(event("DELETED", object("a", "1", "10"))));
  EXPECT_THAT(next(), ElementsAre("-n/a 1"));

  ASSERT_TRUE(list(list_text({}, "11")));

  EXPECT_THAT(next(), ElementsAre("-n/b 2"));
}

TEST_F(IntakeTest, AnItemWithoutANameMakesNothingGone) {
  ASSERT_TRUE(list(list_text({object("a", "1")}, "9")));
  next();
  ASSERT_TRUE(list(list_text({"{}", "17", R"({"metadata":[]})"}, "10")));
  EXPECT_THAT(next(), ElementsAre("! an object without a name", "! an object without a name", "! an object without a name"));
  EXPECT_EQ(intake.held(), 1U);
}

TEST_F(IntakeTest, AWatchIsTheSameWhereverItsBytesAreCut) {
  const std::string text = event("ADDED", object("a", "1")) + event("MODIFIED", object("a", "1", "5")) +
                           event("DELETED", object("b", "2", "6")) + event("DELETED", object("a", "1", "7")) +
                           event("BOOKMARK", R"({"metadata":{"resourceVersion":"8"}})");
  for (std::size_t step = 1; step <= text.size(); ++step) {
    intake.begin_watch(false);
    for (std::size_t at = 0; at < text.size(); at += step) ASSERT_TRUE(intake.feed_watch(text.substr(at, step)));
    EXPECT_THAT(next(), ElementsAre("+n/a 1@1", "+n/a 1@5", "-n/a 1"));
    EXPECT_EQ(intake.version(), "8");
    EXPECT_EQ(intake.events(), 5U);
  }
}

TEST_F(IntakeTest, AWatchMayBeginWithAllThatThereIs) {
  ASSERT_TRUE(list(list_text({object("a", "1"), object("b", "2")}, "9")));
  next();
  intake.forget_version();
  intake.begin_watch(true);

  ASSERT_TRUE(intake.feed_watch(event("ADDED", object("b", "2", "50")) + event("ADDED", object("c", "3", "40"))));
  EXPECT_EQ(intake.version(), "");
  EXPECT_TRUE(intake.initial());
  EXPECT_THAT(next(), ElementsAre("+n/b 2@50", "+n/c 3@40"));
  ASSERT_TRUE(intake.feed_watch(
      event("BOOKMARK", R"({"metadata":{"resourceVersion":"60","annotations":{"k8s.io/initial-events-end":"true"}}})")));

  EXPECT_FALSE(intake.initial());
  EXPECT_EQ(intake.version(), "60");
  EXPECT_THAT(next(), ElementsAre("-n/a 1"));
}

TEST_F(IntakeTest, AnEventThatCannotBeUsedIsSkipped) {
  intake.begin_watch(false);
  ASSERT_TRUE(intake.feed_watch(event("PARTY", object("a", "1")) + event("ADDED", "null") + event("DELETED", "{}") + "{}" +
                                event("ADDED", R"({"metadata":{"name":"x","uid":"1"},"a":"\q"})") +
                                event("ADDED", object("b", "2"))));
  EXPECT_THAT(next(), ElementsAre("!n/a an event of the type \"PARTY\"", "! an object without a name",
                                  "! a deletion that does not say of what", "! an event of the type \"\"", HasSubstr("!x JSON: "),
                                  "+n/b 2@2"));
  EXPECT_FALSE(intake.feed_watch("garbage"));
}

TEST_F(IntakeTest, OfASecretNothingIsHandedOnAndNothingLeftBehind) {
  const std::string secret =
      R"({"metadata":{"name":"a","namespace":"n","uid":"1","resourceVersion":"1","annotations":{"as-applied":"ca-key: c2VjcmV0"}}})";
  const std::string text = R"({"type":"MODIFIED","object":)" + secret + "}";
  const auto feed = [&](Intake& to) {
    const std::string_view bytes = text;
    ASSERT_TRUE(to.feed_watch(bytes.substr(0, 150)));
    ASSERT_TRUE(to.feed_watch(bytes.substr(150)));
  };
  std::string told;
  const Freed freed("ca-key: c2VjcmV0");
  {
    Intake quiet(
        {.value = 300, .depth = 10}, [&](const Event& event) { told += std::get<Put>(event).json + text_of(event); }, true);
    quiet.begin_watch(false);
    feed(quiet);
  }

  EXPECT_EQ(told, "+n/a 1@1");
  EXPECT_EQ(freed.times(), 0);
  intake.begin_watch(false);
  feed(intake);
  texts.clear();
  texts.shrink_to_fit();
  EXPECT_GT(freed.times(), 0) << "of what is no secret";
}

TEST_F(IntakeTest, AnErrorEventIsKeptForWhoAsks) {
  intake.begin_watch(false);
  ASSERT_TRUE(intake.feed_watch(event("ERROR", R"({"kind":"Status","code":410,"reason":"Expired","message":"too old"})")));
  EXPECT_EQ(intake.refused().code, 410);
  intake.begin_watch(false);
  ASSERT_TRUE(intake.feed_watch(event("ERROR", "{}")));
  EXPECT_EQ(intake.refused().code, 500);
  EXPECT_THAT(next(), IsEmpty());
}

}  // namespace
}  // namespace culvert::kube
