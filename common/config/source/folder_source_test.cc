#include "common/config/source/folder_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>

#include "common/net/loop.h"
#include "common/net/task.h"
#include "common/net/timer.h"

namespace culvert::config {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;

struct FolderSourceTest : ::testing::Test {
  FolderSourceTest() {
    char name[] = "/tmp/culvert-source-XXXXXX";
    folder = ::mkdtemp(name);
  }
  ~FolderSourceTest() override { std::filesystem::remove_all(folder); }

  void write(const std::string& name, std::string_view text) { std::ofstream(folder + "/" + name) << text; }
  static std::string account(std::string_view name) {
    return "---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: " + std::string(name) + "}\n";
  }
  void open(FolderOptions options = {}) {
    auto opened = FolderSource::open(loop, folder, options, [this](const Diff& diff) {
      for (const Change& change : diff.changes)
        said.push_back((change.what == Change::What::kDelete ? "-" : "+") + change.key.name);
      if (running) loop.stop();
    });
    ASSERT_TRUE(opened) << opened.error().text;
    source = std::move(*opened);
  }
  // Runs the loop until something was said, at most two seconds; returns what was said since the last time.
  std::vector<std::string> next() {
    net::Timer limit(loop);
    limit.arm(2s, [this] { loop.stop(); });
    running = true;
    if (said.empty()) loop.run();
    running = false;
    return std::exchange(said, {});
  }

  std::string folder;
  net::Loop loop;
  std::unique_ptr<FolderSource> source;
  std::vector<std::string> said;
  bool running = false;
};

TEST_F(FolderSourceTest, ReadsWhatIsThereAndThenWhatChanges) {
  write("a.yaml", account("a"));
  write("ignored.txt", account("x"));
  open();
  EXPECT_THAT(next(), ElementsAre("+a"));

  write("b.yaml", account("b") + account("c"));
  EXPECT_THAT(next(), ElementsAre("+b", "+c"));
  const auto before = std::chrono::steady_clock::now();
  std::filesystem::remove(folder + "/a.yaml");
  EXPECT_THAT(next(), ElementsAre("-a"));
  EXPECT_GE(std::chrono::steady_clock::now() - before, 49ms);
}

TEST_F(FolderSourceTest, ARenameOverAFileIsAChangeAtOnce) {
  write("a.yaml", account("a"));
  open();
  next();

  write(".new", account("b"));
  std::filesystem::rename(folder + "/.new", folder + "/a.yaml");

  EXPECT_THAT(next(), ElementsAre("-a", "+b"));
}

TEST_F(FolderSourceTest, ReadsTheStatusOfPods) {
  write("p.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n");
  open({.status = true});
  EXPECT_THAT(next(), ElementsAre("+p"));

  write("status/pods/default_p.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: p, annotations: {a: b}}\n");

  EXPECT_THAT(next(), ElementsAre("+p"));
}

TEST_F(FolderSourceTest, AFolderThatIsNotThereIsAnError) {
  const auto opened = FolderSource::open(loop, folder + "/nothing", {}, [](const Diff&) {});

  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error().text, ::testing::HasSubstr("nothing"));
}

}  // namespace
}  // namespace culvert::config
