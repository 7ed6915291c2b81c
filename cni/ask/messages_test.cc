#include "cni/ask/messages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace culvert::ask {
namespace {

using testing::HasSubstr;

const Question kAddWeb = {.verb = Verb::kAdd,
                          .name_space = "shop",
                          .pod = "web-0",
                          .uid = "9d2c7a10-1111-2222-3333-444455556666",
                          .container = "a3f0",
                          .interface = "eth0",
                          .addresses = {"10.244.1.5", "fd00::5"}};

TEST(AskMessages, ReadsWhatItWrites) {
  for (const auto verb : {Verb::kAdd, Verb::kDel, Verb::kCheck, Verb::kStatus}) {
    auto question = kAddWeb;
    question.verb = verb;
    EXPECT_EQ(decode_question(*encode(question)), question) << name(verb);
  }
  for (const auto verdict : {Verdict::kEnrolled, Verdict::kOutside, Verdict::kRefused}) {
    const Answer answer{.verdict = verdict, .why = "because \"so\"\n"};
    EXPECT_EQ(decode_answer(encode(answer)), answer) << name(verdict);
  }
}

TEST(AskMessages, IsWhatTheHeaderSays) {
  EXPECT_EQ(*encode(kAddWeb),
            R"({"version":1,"verb":"add","namespace":"shop","pod":"web-0","uid":"9d2c7a10-1111-2222-3333-444455556666",)"
            R"("container":"a3f0","interface":"eth0","addresses":["10.244.1.5","fd00::5"]})");
  EXPECT_EQ(*encode(Question{.verb = Verb::kStatus}), R"({"version":1,"verb":"status"})");
  EXPECT_EQ(encode(Answer{.verdict = Verdict::kEnrolled}), R"({"version":1,"verdict":"enrolled"})");
}

TEST(AskMessages, PassesOverWhatItDoesNotKnow) {
  const auto question = decode_question(R"({"version":1,"verb":"add","namespace":"a","pod":"b","colour":{"x":[1]}})");

  ASSERT_TRUE(question) << question.error().text;
  EXPECT_EQ(question->pod, "b");
}

TEST(AskMessages, RefusesAnotherVersion) {
  EXPECT_THAT(decode_question(R"({"version":2,"verb":"add","namespace":"a","pod":"b"})").error().text, HasSubstr("of version 2"));
  EXPECT_THAT(decode_answer(R"({"verdict":"enrolled"})").error().text, HasSubstr("of version none"));
}

TEST(AskMessages, RefusesNamesThatAreNoneOfKubernetes) {
  for (const auto* name : {"", "..", "../secrets", "a/b", "a?b", "a b", "A", "a%2fb", "é"}) {
    auto question = kAddWeb;
    question.name_space = name;
    EXPECT_FALSE(encode(question)) << name;
    EXPECT_FALSE(decode_question(std::string(R"({"version":1,"verb":"add","pod":"b","namespace":")") + name + "\"}")) << name;
  }
  auto question = kAddWeb;
  question.pod = std::string(254, 'a');
  EXPECT_FALSE(encode(question));
}

TEST(AskMessages, HasLimits) {
  EXPECT_FALSE(decode_question(std::string(kMaxPacket + 1, ' ')));
  EXPECT_FALSE(decode_answer(std::string(kMaxPacket + 1, ' ')));
  auto question = kAddWeb;
  question.addresses.assign(kMaxAddresses + 1, "10.0.0.1");
  EXPECT_FALSE(encode(question));

  const auto long_answer = encode(Answer{.verdict = Verdict::kRefused, .why = std::string(100'000, 'x')});
  EXPECT_LE(long_answer.size(), kMaxPacket);
  EXPECT_TRUE(decode_answer(long_answer));
}

TEST(AskMessages, RefusesWhatIsNoQuestion) {
  for (const auto* packet : {"", "{", "[]", "1", R"({"version":1})", R"({"version":1,"verb":"burn","namespace":"a","pod":"b"})",
                             R"({"version":1,"verb":"add"})", R"({"version":"1","verb":"add","namespace":"a","pod":"b"})"}) {
    EXPECT_FALSE(decode_question(packet)) << packet;
  }
}

}  // namespace
}  // namespace culvert::ask
