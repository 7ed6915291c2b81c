#include "common/xds/subscription.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <charconv>

namespace culvert::xds {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

struct Port {
  std::string name;
  int value = 0;
};
std::string key(const Port& port) { return port.name; }

// "name=80"
Result<Port> read(std::string_view text) {
  const auto equals = text.find('=');
  if (equals == text.npos || equals + 1 == text.size()) return failure("empty port");
  Port port{std::string(text.substr(0, equals)), 0};
  std::from_chars(text.data() + equals + 1, text.data() + text.size(), port.value);
  return port;
}

Resource resource(std::string name, std::string version, std::string value) {
  return {std::move(name), std::move(version), "ports", std::move(value)};
}

struct Ports : Subscription<Port> {
  Ports() : Subscription("ports", read) {}
};

TEST(Subscription, StartsAsAWildcardAndAcknowledges) {
  Ports ports;
  EXPECT_EQ(ports.open(), (Request{.type_url = "ports", .knows_sums = true}));
  EXPECT_FALSE(ports.answered());

  const auto applied = ports.apply({"ports", "n1", {resource("a", "1", "a=80")}, {}});

  EXPECT_EQ(applied.reply, (Request{.type_url = "ports", .nonce = "n1"}));
  ASSERT_EQ(applied.changed.size(), 1u);
  EXPECT_EQ(applied.changed[0].value, 80);
  EXPECT_TRUE(ports.answered());
}

TEST(Subscription, AnEmptyResponseIsAnAnswer) {
  Ports ports;

  EXPECT_EQ(ports.apply({"ports", "n", {}, {}}).reply.error, "");
  EXPECT_TRUE(ports.answered());
}

TEST(Subscription, KeepsTheLastGoodValueOfABadResource) {
  Ports ports;
  ports.apply({"ports", "1", {resource("a", "v1", "a=80")}, {}});

  const auto applied =
      ports.apply({"ports", "2", {resource("a", "v2", "a="), resource("b", "v2", "b=443"), resource("c", "v2", "c")}, {}});

  EXPECT_EQ(applied.reply.error, "a: empty port; c: empty port");
  EXPECT_EQ(applied.reply.nonce, "2");
  ASSERT_EQ(applied.changed.size(), 1u);  // the good one of the same response is in force
  EXPECT_EQ(applied.changed[0].name, "b");
  EXPECT_THAT(applied.removed, IsEmpty());
  EXPECT_EQ(ports.refused(), 2u);
  // What is held is reported with the version that is in force; what never was good is not.
  EXPECT_EQ(ports.open().initial_versions, (Versions{{"a", "v1"}, {"b", "v2"}}));
}

TEST(Subscription, ReportsOnReconnectWhatItHolds) {
  Ports ports;
  ports.apply({"ports", "1", {resource("a", "v1", "a=80"), resource("b", "", "b=81"), resource("c", "v1", "c=82")}, {}});
  const auto applied = ports.apply({"ports", "2", {}, {"c", "never-seen"}});

  EXPECT_THAT(applied.removed, ElementsAre("c"));
  EXPECT_EQ(ports.open().initial_versions, (Versions{{"a", "v1"}, {"b", ""}}));
}

TEST(Subscription, RemovesByTheValuesOwnName) {
  Ports ports;
  ports.apply({"ports", "1", {resource("alias", "v1", "a=80")}, {}});

  const auto renamed = ports.apply({"ports", "2", {resource("alias", "v2", "b=80")}, {}});
  EXPECT_THAT(renamed.removed, ElementsAre("a"));

  EXPECT_THAT(ports.apply({"ports", "3", {}, {"alias"}}).removed, ElementsAre("b"));
}

TEST(Subscription, AResourceRemovedAndSentInOneResponseIsThere) {
  Ports ports;
  ports.apply({"ports", "1", {resource("a", "v1", "a=80")}, {}});

  const auto applied = ports.apply({"ports", "2", {resource("a", "v2", "a=81")}, {"a"}});

  EXPECT_THAT(applied.removed, ElementsAre("a"));
  EXPECT_EQ(applied.changed.size(), 1u);
  EXPECT_EQ(ports.held(), 1u);
}

TEST(Subscription, AStandInTakesThePlaceOfWhatNeverWasGood) {
  Subscription<Port> ports("ports", read, [](std::string_view text, std::string_view) -> std::optional<Port> {
    return Port{std::string(text.substr(0, text.find('='))), -1};
  });

  const auto refused = ports.apply({"ports", "1", {resource("a", "v1", "a=")}, {}});

  EXPECT_EQ(refused.reply.error, "a: empty port");
  ASSERT_EQ(refused.changed.size(), 1u);
  EXPECT_EQ(refused.changed[0].value, -1);
  EXPECT_EQ(ports.open().initial_versions, (Versions{{"a", ""}}));  // sent again, or told that it is gone

  EXPECT_EQ(ports.apply({"ports", "2", {resource("a", "v2", "a=80")}, {}}).changed.at(0).value, 80);
  EXPECT_THAT(ports.apply({"ports", "3", {resource("a", "v3", "a=")}, {}}).changed, IsEmpty());  // the good one stays
  EXPECT_THAT(ports.apply({"ports", "4", {}, {"a"}}).removed, ElementsAre("a"));
}

TEST(Subscription, ARefusalIsBounded) {
  Ports ports;
  Response response{"ports", "1", {}, {}};
  for (int i = 0; i < 100'000; ++i) response.resources.push_back(resource("resource-" + std::to_string(i), "1", "x"));

  const std::string error = ports.apply(std::move(response)).reply.error;

  EXPECT_LT(error.size(), 65u * 1024);
  EXPECT_TRUE(error.starts_with("resource-0: empty port; resource-1: empty port; "));
  EXPECT_THAT(error, testing::ContainsRegex("; and [0-9]+ more$"));
  EXPECT_EQ(ports.refused(), 100'000u);
}

TEST(Subscription, RefusesAResourceOfAnotherType) {
  Ports ports;

  const auto applied = ports.apply({"ports", "1", {{"a", "1", "hosts", "a=80"}}, {}});

  EXPECT_EQ(applied.reply.error, "a: is of type hosts, not ports");
}

// One that holds so much that it says sums of it, if the server knows them.
struct ManyPorts : Ports {
  static constexpr std::size_t kMany = kParts + 10;
  static std::string name(std::size_t i) { return "port-" + std::to_string(100'000 + i); }
  static Versions all() {
    Versions out;
    for (std::size_t i = 0; i < kMany; ++i) out.emplace(name(i), "v1");
    return out;
  }
  explicit ManyPorts(bool server_knows_sums = true) {
    Response response{.type_url = "ports", .nonce = "1", .knows_sums = server_knows_sums};
    for (std::size_t i = 0; i < kMany; ++i) response.resources.push_back(resource(name(i), "v1", name(i) + "=80"));
    open();
    EXPECT_EQ(question(response).value(), std::nullopt);
    apply(std::move(response));
  }
};
Response asking(const Parts& parts) { return {.type_url = "ports", .nonce = "q", .knows_sums = true, .asked = parts}; }

TEST(Subscription, SaysSumsOfMuchToAServerThatKnowsThem) {
  ManyPorts ports;

  EXPECT_EQ(ports.open(), (Request{.type_url = "ports", .knows_sums = true, .sums = Sums(ManyPorts::all()).bytes()}));
  EXPECT_EQ(ports.question({.type_url = "ports", .nonce = "2", .knows_sums = true}).value(), std::nullopt);
  EXPECT_EQ(ManyPorts(false).open(), (Request{.type_url = "ports", .initial_versions = ManyPorts::all(), .knows_sums = true}));
}

TEST(Subscription, SaysTheVersionsOfLittle) {
  ManyPorts ports;
  Response response{.type_url = "ports", .nonce = "2"};
  for (std::size_t i = 0; i <= ManyPorts::kMany - kParts; ++i) response.removed.push_back(ManyPorts::name(i));
  ports.apply(response);

  EXPECT_EQ(ports.open().initial_versions.size(), kParts - 1);
}

TEST(Subscription, SaysWhatItHoldsInThePartsThatItIsAskedFor) {
  ManyPorts ports;
  ports.apply({"ports", "2", {resource(ManyPorts::name(3), "v2", "bad")}, {ManyPorts::name(4)}});
  ports.open();
  Parts parts;
  for (const std::size_t i : {3UL, 4UL}) parts.set(part_of(ManyPorts::name(i)));
  Request expected{.type_url = "ports", .nonce = "q"};
  const Versions all = ManyPorts::all();
  for (const auto& [name, version] : all.all())
    if (parts[part_of(name)] && name != ManyPorts::name(4)) expected.initial_versions.emplace(name, version);

  EXPECT_EQ(ports.question(asking(parts)).value(), expected);
  EXPECT_EQ(expected.initial_versions.find(ManyPorts::name(3)), "v1") << "of a refused one that of the last good value";
  EXPECT_EQ(ports.question({.type_url = "ports", .nonce = "3"}).value(), std::nullopt) << "this is the difference";
}

TEST(Subscription, IsNotTakenForOneThatHoldsNothingByAServerThatDoesNotKnowSums) {
  ManyPorts ports;
  ports.open();

  EXPECT_FALSE(ports.question({"ports", "1", {resource("a", "v1", "a=80")}, {}}));

  EXPECT_EQ(ports.open().initial_versions.size(), ManyPorts::kMany);
  EXPECT_EQ(ports.question({.type_url = "ports", .nonce = "2"}).value(), std::nullopt) << "now it has been told";
  EXPECT_EQ(ports.open().initial_versions.size(), ManyPorts::kMany);
  EXPECT_EQ(ports.question({.type_url = "ports", .nonce = "3", .knows_sums = true}).value(), std::nullopt);
  EXPECT_TRUE(ports.open().initial_versions.empty()) << "one that does is back";
}

TEST(Subscription, IsAskedOnceAndOnlyAfterSums) {
  ManyPorts twice;
  twice.open();
  ASSERT_TRUE(twice.question(asking(~Parts())));
  EXPECT_FALSE(twice.question(asking(~Parts())));
  EXPECT_EQ(twice.open().initial_versions.size(), ManyPorts::kMany) << "that leaves no doubt";

  EXPECT_FALSE(twice.question(asking(~Parts())));
}

TEST(Subscription, ABrokenStreamLeavesNothingOfTheQuestion) {
  ManyPorts ports;
  ports.open();
  ASSERT_TRUE(ports.question(asking(~Parts())));

  EXPECT_FALSE(ports.open().sums.empty());
  ports.say_versions();
  EXPECT_EQ(ports.open().initial_versions.size(), ManyPorts::kMany);
}

}  // namespace
}  // namespace culvert::xds
