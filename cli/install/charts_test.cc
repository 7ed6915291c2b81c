#include "cli/install/charts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>

namespace culvert::cli::install {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

// A folder with charts in it, gone with the test.
class Charts : public testing::Test {
 protected:
  Charts() {
    std::string name = "/tmp/charts-XXXXXX";
    folder_ = ::mkdtemp(name.data());
  }
  ~Charts() override { fs::remove_all(folder_); }

  void write(const std::string& name, const std::string& text = "") {
    fs::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name) << text;
  }
  void write_chart(const std::string& where, const std::string& name) {
    write(where + "/Chart.yaml", "apiVersion: v2\nname: " + name + "\nversion: 1.2.3\n");
  }

  fs::path folder_;
};

TEST_F(Charts, AreFoundAsAFolderAnArchiveOrWhatHoldsThem) {
  write_chart("a/culvert", "culvert");
  write("a/culvert/profiles/demo.yaml");
  write("b/culvert-0.9.0.tgz");
  write("b/base-0.9.0.tgz");

  for (const char* named : {"a", "a/culvert"}) {
    const auto chart = find_chart(folder_ / named, {});
    ASSERT_TRUE(chart) << chart.error().text;
    EXPECT_EQ(chart->path, folder_ / "a/culvert");
    EXPECT_EQ(chart->version, "1.2.3");
    EXPECT_EQ(profile_of(*chart, "demo").value(), folder_ / "a/culvert/profiles/demo.yaml");
  }
  for (const char* named : {"b", "b/culvert-0.9.0.tgz"}) {
    const auto chart = find_chart(folder_ / named, {});
    ASSERT_TRUE(chart) << chart.error().text;
    EXPECT_EQ(chart->path, folder_ / "b/culvert-0.9.0.tgz");
    EXPECT_EQ(chart->version, "0.9.0");
    EXPECT_THAT(profile_of(*chart, "demo").error().text, HasSubstr("unpack it"));
  }
}

TEST_F(Charts, OfTheUsualPlacesTheFirstThatHasThemCounts) {
  write_chart("second/culvert", "culvert");
  write_chart("third/culvert", "culvert");

  EXPECT_EQ(find_chart("", {folder_ / "first", folder_ / "second", folder_ / "third"}).value().path, folder_ / "second/culvert");
  EXPECT_EQ(find_chart("", {folder_ / "first", folder_ / "none"}).error().text,
            "looking for the chart `culvert` in " + (folder_ / "first").string() + ", " + (folder_ / "none").string() +
                ": it is not there (say where: --charts DIR)");
}

TEST_F(Charts, OfSomebodyElseAreNotTaken) {
  write_chart("istiod", "istiod");

  EXPECT_THAT(find_chart(folder_ / "istiod", {}).error().text, HasSubstr("there is no chart `culvert`"));
}

TEST_F(Charts, AProfileThatThereIsNotIsAnsweredWithThoseThatThereAre) {
  write_chart("culvert", "culvert");
  write("culvert/profiles/demo.yaml");
  write("culvert/profiles/production.yaml");
  const auto chart = find_chart(folder_, {});

  EXPECT_THAT(profile_of(*chart, "prod").error().text, HasSubstr("(there are demo, production)"));
  EXPECT_THAT(profile_of(*chart, "../Chart").error().text, HasSubstr("there is no such profile"));
}

}  // namespace
}  // namespace culvert::cli::install
