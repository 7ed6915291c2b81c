#include "cli/completion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace culvert::cli {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class Completion : public ::testing::Test {
 protected:
  Completion() {
    auto* config = app.add_subcommand("ztunnel-config", "what a ztunnel has");
    config->alias("zc");
    auto* workload = config->add_subcommand("workload", "the workloads");
    workload->alias("w");
    workload->add_option("-o,--output", text, "the form\nand more")->check(CLI::IsMember({"table", "json"}));
    workload->add_option_group("source", "")->add_option("--node", text, "of this node");
    workload->add_flag("--raw", "addresses");
    workload->add_option("POD", text, "a pod");
    config->add_subcommand("policy", "the policies");
    app.add_subcommand("hidden", "")->group("");
  }
  std::vector<std::string> of(const std::vector<std::string>& words) {
    std::vector<std::string> out;
    for (const Candidate& each : candidates(app, words)) out.push_back(each.text);
    return out;
  }

  CLI::App app{"", "culvert"};
  std::string text;
};

TEST_F(Completion, CommandsAreFoundByNameAndByAliasWhenNoNameFits) {
  EXPECT_THAT(of({""}), ElementsAre("ztunnel-config"));
  EXPECT_THAT(of({"zc"}), ElementsAre("zc"));
  EXPECT_THAT(of({"zc", ""}), ElementsAre("workload", "policy"));
  EXPECT_THAT(of({"ztunnel-config", "p"}), ElementsAre("policy"));
  EXPECT_THAT(of({"hid"}), IsEmpty());
}

TEST_F(Completion, FlagsAreOfTheCommandThatIsMeant) {
  EXPECT_THAT(candidates(app, {"zc", "w", "--o"}), ElementsAre(Candidate{"--output", "the form"}));
  EXPECT_THAT(of({"zc", "w", "--"}), ElementsAre("--help", "--output", "--raw", "--node"));
  EXPECT_THAT(of({"zc", "--"}), ElementsAre("--help"));
}

TEST_F(Completion, ValuesAreThoseThatTheFlagTakes) {
  EXPECT_THAT(of({"zc", "w", "-o", ""}), ElementsAre("table", "json"));
  EXPECT_THAT(of({"zc", "w", "--output", "j"}), ElementsAre("json"));
  EXPECT_THAT(of({"zc", "w", "--output=j"}), ElementsAre("--output=json"));
  EXPECT_THAT(of({"zc", "w", "--output", "=", "j"}), ElementsAre("json")) << "as bash splits it";
  EXPECT_THAT(of({"zc", "w", "--output", "="}), ElementsAre("table", "json"));
  EXPECT_THAT(of({"zc", "w", "--node", ""}), IsEmpty()) << "what is not known is left to the shell";
  EXPECT_THAT(of({"zc", "w", "--node", "policy", "--ra"}), ElementsAre("--raw")) << "a value is no command";
  EXPECT_THAT(of({"zc", "w", "--raw", "--ou"}), ElementsAre("--output")) << "a flag without a value takes none";
}

TEST_F(Completion, NothingIsSaidOfOthersCommands) {
  EXPECT_THAT(of({"zc", "w", "--", "--"}), IsEmpty());
  EXPECT_THAT(of({}), IsEmpty());
}

}  // namespace
}  // namespace culvert::cli
