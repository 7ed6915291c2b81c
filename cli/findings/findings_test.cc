#include "cli/findings/findings.h"

#include <gtest/gtest.h>

namespace culvert::cli {
namespace {

TEST(Findings, AreOneRowWhereTheyAreTheSame) {
  const std::vector<Finding> findings = {{"CVT0202", Level::kOk, "n1", "BTF is there", ""},
                                         {"CVT0201", Level::kError, "n1", "Linux 5.10 is too old", "boot a newer one"},
                                         {"CVT0201", Level::kError, "n2", "Linux 5.10 is too old", "boot a newer one"}};

  EXPECT_EQ(to_table(findings),
            "LEVEL    CODE     WHERE  WHAT\n"
            "error    CVT0201  n1, n2 Linux 5.10 is too old\n"
            "                         -> boot a newer one\n"
            "ok       CVT0202  n1     BTF is there\n");
  EXPECT_EQ(count(findings, Level::kError), 2U);
}

TEST(Findings, DoNotListAThousandNodes) {
  std::vector<Finding> findings;
  for (int i = 0; i < 7; ++i) findings.push_back({"CVT0202", Level::kOk, "n" + std::to_string(i), "BTF is there", ""});

  EXPECT_EQ(to_table(findings),
            "LEVEL    CODE     WHERE                     WHAT\n"
            "ok       CVT0202  n0, n1, n2, n3 and 3 more BTF is there\n");
}

TEST(Findings, AreReadByPrograms) {
  EXPECT_EQ(
      to_json({{"CVT0201", Level::kWarning, "n1", "a", "b"}}),
      R"({"findings":[{"code":"CVT0201","level":"warning","where":"n1","message":"a","advice":"b"}],"errors":0,"warnings":1})"
      "\n");
}

}  // namespace
}  // namespace culvert::cli
