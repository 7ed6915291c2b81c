#include "cli/usage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace culvert::cli {
namespace {

using ::testing::HasSubstr;

// A program like ours, and what it says to these words.
std::string answer(std::vector<std::string> words) {
  CLI::App app("", "culvert");
  app.require_subcommand(1);
  std::string from, to, url;
  auto* explain = app.add_subcommand("explain", "");
  explain->add_option("--from", from)->required();
  explain->add_option("--to", to)->required();
  explain->add_option_group("source", "")->add_option("--url", url);
  auto* local = app.add_subcommand("local", "");
  local->require_subcommand(1);
  local->add_subcommand("status", "")->alias("st");
  local->add_subcommand("serve-dns", "")->group("");
  std::ranges::reverse(words);
  try {
    app.parse(std::move(words));
  } catch (const CLI::ParseError& error) {
    return usage_text(app, error);
  }
  return "understood";
}

TEST(Usage, AMisspeltFlagIsSaidBeforeWhatIsMissingBecauseOfIt) {
  EXPECT_EQ(
      answer({"explain", "--form", "web-0", "--to", "db:5432"}),
      "culvert explain: there is no flag --form (did you mean --from?)\nRun \"culvert explain --help\" for what there is.\n");
  EXPECT_THAT(answer({"explain", "--from=a", "--to=b", "--ulr=c"}), HasSubstr("there is no flag --ulr (did you mean --url?)"));
  EXPECT_THAT(answer({"explain", "--from=a", "--to=b", "--zzzzzzzzz"}), HasSubstr("there is no flag --zzzzzzzzz\n"));
}

TEST(Usage, AMisspeltCommandIsSaidWithTheOneThatWasMeant) {
  EXPECT_THAT(answer({"explian", "--from", "a"}), HasSubstr("there is no command \"explian\" (did you mean explain?)"));
  EXPECT_THAT(answer({"explian"}), HasSubstr("culvert: there is no command \"explian\" (did you mean explain?)"));
  EXPECT_THAT(answer({"local", "stauts"}), HasSubstr("culvert local: there is no command \"stauts\" (did you mean status?)"));
  EXPECT_THAT(answer({"local", "serve-dnss"}), HasSubstr("there is no command \"serve-dnss\"\n")) << "what is hidden stays so";
}

TEST(Usage, WhatIsMissingOrTooMuchIsNamed) {
  EXPECT_THAT(answer({"explain", "--from", "a"}), HasSubstr("--to is required"));
  EXPECT_THAT(answer({"explain", "--from", "a", "--to", "b", "c"}), HasSubstr("\"c\" is one word too many"));
  EXPECT_THAT(answer({}), HasSubstr("A subcommand is required"));
}

}  // namespace
}  // namespace culvert::cli
