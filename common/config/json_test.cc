#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "common/config/parse.h"
#include "common/config/tree.h"

namespace culvert::config {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::string problem_of(const ParsedFile& file) {
  return file.broken.empty() || file.broken[0].problems.empty() ? "" : file.broken[0].problems[0].text();
}

constexpr const char* kPolicy = R"({"apiVersion":"security.istio.io/v1","kind":"AuthorizationPolicy",
  "metadata":{"name":"p","namespace":"shop","uid":"u","resourceVersion":"7","generation":1,"creationTimestamp":"2026-08-20T10:00:00Z",
    "managedFields":[{"manager":"kubectl","fieldsV1":{"f:spec":{"f:action":{}}}}]},
  "spec":{"action":"DENY","rules":[{"to":[{"operation":{"ports":["80"]}}]}]},
  "status":{"conditions":[{"type":"Accepted","status":"True"}]}})";

TEST(Json, AnObjectOfAnApiServerIsReadAsItsYamlWouldBe) {
  const ParsedFile file = parse_json("kubernetes", kPolicy);

  ASSERT_THAT(file.objects, SizeIs(1)) << problem_of(file);
  const auto& policy = std::get<AuthorizationPolicy>(*file.objects[0].object);
  EXPECT_EQ(policy.metadata.name_space, "shop");
  EXPECT_EQ(policy.action, AuthorizationPolicy::Action::kDeny);
  EXPECT_EQ(policy.rules.at(0).to.at(0).ports.at(0), 80);
}

TEST(Json, AnItemOfAListIsWhatTheListSays) {
  constexpr const char* kItem = R"({"metadata":{"name":"web","namespace":"shop"},"spec":{"nodeName":"n1","containers":[]},
    "status":{"phase":"Running","podIPs":[{"ip":"10.0.0.7"}],"conditions":[{"type":"Ready","status":"True"}]}})";

  const ParsedFile file = parse_json("kubernetes", kItem, "v1", "Pod");

  ASSERT_THAT(file.objects, SizeIs(1)) << problem_of(file);
  const auto& pod = std::get<Pod>(*file.objects[0].object);
  EXPECT_TRUE(pod.ready);
  EXPECT_THAT(pod.addresses, SizeIs(1));
  EXPECT_THAT(parse_json("kubernetes", kItem).broken, SizeIs(1)) << "by itself it says nothing";
}

TEST(Json, AMistakeIsToldWithoutALine) {
  std::string wrong = kPolicy;
  wrong.replace(wrong.find("DENY"), 4, "DENI");

  const ParsedFile file = parse_json("kubernetes", wrong);

  ASSERT_THAT(file.broken, SizeIs(1));
  EXPECT_TRUE(file.broken[0].certain);
  EXPECT_EQ(file.broken[0].key->text(), "AuthorizationPolicy shop/p");
  EXPECT_THAT(problem_of(file), HasSubstr("kubernetes: AuthorizationPolicy shop/p: spec.action: "));
}

TEST(Json, TypesStayWhatTheyAre) {
  const Document document = read_json(R"({"a":"1","b":1,"c":1.5e3,"d":true,"e":null,"f":[],"g":{},"h":-18446744073709551615})");

  ASSERT_TRUE(document.root) << document.error;
  using enum Tree::Type;
  const std::vector<Tree::Type> expected = {kString, kInt, kFloat, kBool, kNull, kList, kMap, kInt};
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(document.root->items.at(i).type, expected[i]) << document.root->names[i];
  }
  EXPECT_EQ(document.root->find("c")->text, "1.5e3");
}

TEST(Json, WhatNobodyReadsIsLeftOutAndNothingElse) {
  const Document document =
      read_json(R"({"metadata":{"managedFields":[{"a":[1,{"b":2}]}],"labels":{"managedFields":"x"}},"managedFields":["y"]})");

  ASSERT_TRUE(document.root) << document.error;
  const Tree* metadata = document.root->find("metadata");
  EXPECT_EQ(metadata->find("managedFields")->type, Tree::Type::kNull);
  EXPECT_EQ(metadata->find("labels")->find("managedFields")->text, "x");
  EXPECT_THAT(document.root->find("managedFields")->items, SizeIs(1));
}

TEST(Json, EscapesAndUnicodeAreDecoded) {
  const Document document = read_json(R"({"kéy":"a\n\u00e9\ud83d\ude00"})");

  ASSERT_TRUE(document.root) << document.error;
  EXPECT_EQ(document.root->find("kéy")->text, "a\né😀");
}

TEST(Json, ManyFieldsCostNoMoreThanTheyAreLong) {
  std::string text = R"({"last":0)";
  for (int i = 0; i < 100'000; ++i) text += ",\"a" + std::to_string(i) + "\":\"\"";
  EXPECT_TRUE(read_json(text + "}").root);  // searched one by one for each other, they would take until the test is ended
  EXPECT_THAT(read_json(text + R"(,"a7":""})").error, HasSubstr("the field \"a7\" is there twice"));

  std::string lists = "[";
  for (std::size_t i = 0; i < kMaxNodes; ++i) lists += "[],";
  EXPECT_THAT(read_json(lists + "1]").error, HasSubstr("too many values"));
}

TEST(Json, WhatIsNotOneValueIsRefused) {
  for (const char* text :
       {"", " ", "{", "{}x", "{} {}", R"({"a":1,"a":2})", R"({"a":01})", "\"\xff\"", "nul", "{'a':1}", R"(["\ud800"])"}) {
    const Document document = read_json(text);
    EXPECT_FALSE(document.root) << text;
    EXPECT_FALSE(document.error.empty()) << text;
  }
  EXPECT_THAT(read_json(std::string(1000, '[')).error, HasSubstr("nested too deeply"));
  EXPECT_THAT(read_json(R"({"metadata":{"managedFields":)" + std::string(1000, '[')).error, HasSubstr("not JSON"));
  EXPECT_THAT(read_json("[" + std::string(2 * kMaxNodes, ',') + "]").error, HasSubstr("not JSON"));
}

}  // namespace
}  // namespace culvert::config
