#include "common/base/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "common/base/address.h"

namespace culvert::settings {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

enum class Local { kEncrypt, kDirect };

struct Fields {
  std::string node;
  std::uint16_t port = 15014;
  std::chrono::milliseconds grace = 5s;
  bool dns = true;
  Bytes window{65536};
  std::filesystem::path uds = "/run/z.sock";
  std::vector<std::string> excluded = {"kube-system"};
  std::optional<Endpoint> bind;
  Local local = Local::kEncrypt;
  std::string token;
};

Table declare(Fields& f) {
  Table table("culvert-x", "does something");
  table.add(f.node, {.env = "NODE_NAME", .flag = "--node-name", .doc = "this node", .required = true});
  table.add(f.port, {.env = "PORT", .flag = "--port", .doc = "where"});
  table.add<std::chrono::milliseconds>(f.grace, {.env = "GRACE", .doc = "how long"}, [](auto value) -> Status {
    if (value > 1h) return failure("must be at most 1h");
    return {};
  });
  table.add(f.dns, {.env = "DNS", .flag = "--dns", .doc = "capture DNS"});
  table.add(f.window, {.env = "WINDOW", .doc = "of a stream"});
  table.add(f.uds, {.env = "UDS", .flag = "--uds", .doc = "socket"});
  table.add(f.excluded, {.env = "EXCLUDED", .doc = "namespaces left alone"});
  table.add(f.bind, {.env = "BIND", .doc = "source"});
  table.choice(f.local, {.env = "LOCAL", .doc = "same node"}, {{"encrypt", Local::kEncrypt}, {"direct", Local::kDirect}});
  table.add(f.token, {.env = "TOKEN", .doc = "of the node", .secret = true});
  return table;
}

Status parse(Table& table, std::vector<const char*> words, std::map<std::string, std::string, std::less<>> environment = {}) {
  environment.try_emplace("NODE_NAME", "n1");
  return table.parse(words, [&](std::string_view env) -> std::optional<std::string> {
    const auto found = environment.find(env);
    return found == environment.end() ? std::nullopt : std::optional(found->second);
  });
}

std::string problem(std::vector<const char*> words, std::map<std::string, std::string, std::less<>> environment = {}) {
  Fields fields;
  auto table = declare(fields);
  const auto parsed = parse(table, std::move(words), std::move(environment));
  return parsed ? "" : parsed.error().text;
}

TEST(Settings, KeepTheFieldsValueAsDefault) {
  Fields fields;
  auto table = declare(fields);

  ASSERT_TRUE(parse(table, {}));

  EXPECT_EQ(fields.port, 15014);
  EXPECT_EQ(fields.grace, 5s);
  EXPECT_FALSE(fields.bind);
}

TEST(Settings, TakeFlagsBeforeTheEnvironmentBeforeTheDefault) {
  Fields fields;
  auto table = declare(fields);

  ASSERT_TRUE(parse(
      table, {"--port", "81", "--uds=/run/y", "--dns=false"},
      {{"PORT", "80"}, {"GRACE", "1m30s"}, {"WINDOW", "4MiB"}, {"EXCLUDED", "a,,b"}, {"BIND", "[::1]:5"}, {"LOCAL", "direct"}}));

  EXPECT_EQ(fields.port, 81);
  EXPECT_EQ(fields.uds, "/run/y");
  EXPECT_FALSE(fields.dns);
  EXPECT_EQ(fields.grace, 90s);
  EXPECT_EQ(fields.window.count, 4u << 20);
  EXPECT_THAT(fields.excluded, ElementsAre("a", "b"));
  EXPECT_EQ(fields.bind->port, 5);
  EXPECT_EQ(fields.local, Local::kDirect);
}

TEST(Settings, AnEmptyVariableCountsAsUnset) {
  Fields fields;
  auto table = declare(fields);

  ASSERT_TRUE(parse(table, {}, {{"PORT", ""}}));

  EXPECT_EQ(fields.port, 15014);
}

TEST(Settings, ABoolFlagNeedsNoValue) {
  Fields fields;
  fields.dns = false;
  auto table = declare(fields);

  ASSERT_TRUE(parse(table, {"--dns"}));

  EXPECT_TRUE(fields.dns);
}

TEST(Settings, NameWhatIsWrong) {
  EXPECT_EQ(problem({"--nope", "1"}), "unknown flag --nope (--help lists what there is)");
  EXPECT_EQ(problem({"word"}), "unexpected argument \"word\" (--help lists what there is)");
  EXPECT_EQ(problem({"--port"}), "--port needs a value");
  EXPECT_EQ(problem({"--port=70000"}), "--port=\"70000\": must be from 0 to 65535");
  EXPECT_EQ(problem({}, {{"PORT", "x"}}), "PORT=\"x\": is not a whole number");
  EXPECT_EQ(problem({}, {{"GRACE", "2h"}}), "GRACE=\"2h\": must be at most 1h");
  EXPECT_EQ(problem({}, {{"GRACE", "1us"}}), "GRACE=\"1us\": finer than 1ms");
  EXPECT_EQ(problem({}, {{"LOCAL", "x"}}), "LOCAL=\"x\": must be one of encrypt, direct");
  EXPECT_EQ(problem({}, {{"NODE_NAME", ""}}), "NODE_NAME is not set (set NODE_NAME or --node-name: this node)");
}

TEST(Settings, LetArgumentsThroughWhereTheProgramTakesThem) {
  Fields fields;
  auto table = declare(fields);
  std::vector<std::string> words;
  table.arguments(words, "DIR");

  ASSERT_TRUE(parse(table, {"up", "--port=1", "dir"}));

  EXPECT_THAT(words, ElementsAre("up", "dir"));
}

TEST(Settings, PrintThemselves) {
  Fields fields;
  auto table = declare(fields);
  ASSERT_TRUE(parse(table, {"--port=81"}, {{"TOKEN", "hush"}}));

  EXPECT_THAT(table.help(), HasSubstr("--node-name, NODE_NAME"));
  EXPECT_THAT(table.help(), HasSubstr("how long (default 5s)"));
  EXPECT_THAT(table.markdown(), HasSubstr("| `PORT` | `--port` | `15014` | number | where |\n"));
  EXPECT_THAT(table.markdown(), HasSubstr("encrypt \\| direct"));
  const auto shown = table.shown();
  EXPECT_EQ(shown[1].value, "81");
  EXPECT_EQ(name(shown[1].source), "flag");
  EXPECT_EQ(shown.back().value, "(set)");
}

TEST(Settings, ReadAndWriteDurations) {
  EXPECT_EQ(parse_duration("10s"), 10s);
  EXPECT_EQ(parse_duration("1h30m"), 90min);
  EXPECT_EQ(parse_duration("1.5s"), 1500ms);
  EXPECT_EQ(parse_duration("2d"), 48h);
  EXPECT_EQ(parse_duration("0"), 0s);
  for (const auto* bad : {"", "10", "s", "-1s", "1x", "1s ", "5ms5"}) EXPECT_FALSE(parse_duration(bad)) << bad;
  EXPECT_EQ(print_duration(90min), "1h30m");
  EXPECT_EQ(print_duration(1500ms), "1s500ms");
}

TEST(Settings, ReadAndWriteSizes) {
  EXPECT_EQ(parse_bytes("65536")->count, 65536u);
  EXPECT_EQ(parse_bytes("64KiB")->count, 65536u);
  EXPECT_EQ(parse_bytes("1.5Ki")->count, 1536u);
  EXPECT_EQ(parse_bytes("2GB")->count, 2'000'000'000u);
  for (const auto* bad : {"", "KiB", "1.5", "-1", "1 KiB", "1T"}) EXPECT_FALSE(parse_bytes(bad)) << bad;
  EXPECT_EQ(print_bytes({65536}), "64KiB");
  EXPECT_EQ(print_bytes({1000}), "1000");
}

}  // namespace
}  // namespace culvert::settings
