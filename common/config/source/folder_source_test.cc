#include "common/config/source/folder_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "common/net/loop.h"
#include "common/net/task.h"
#include "common/net/timer.h"

namespace culvert::config {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

struct FolderSourceTest : ::testing::Test {
  FolderSourceTest() {
    char name[] = "/tmp/culvert-source-XXXXXX";
    folder = top = ::mkdtemp(name);
  }
  ~FolderSourceTest() override { std::filesystem::remove_all(top); }

  void write(const std::string& name, std::string_view text) {
    std::filesystem::create_directories(std::filesystem::path(folder + "/" + name).parent_path());
    std::ofstream(folder + "/" + name) << text;
  }
  // As if nobody had written to it for a while.
  void still(const std::string& name) {
    std::filesystem::last_write_time(folder + "/" + name, std::filesystem::file_time_type::clock::now() - 10s);
  }
  static std::string account(std::string_view name) {
    return "---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: " + std::string(name) + "}\n";
  }
  void open(FolderOptions options = {}) {
    auto opened = FolderSource::open(loop, folder, options, [this](const Diff& diff) {
      for (const Change& change : diff.changes)
        said.push_back((change.what == Change::What::kDelete ? "-" : "+") + change.key.name);
      for (const Problem& problem : diff.problems) said.push_back("!" + problem.what);
      for (const std::string& note : diff.notes) notes.push_back(note);
      if (running) loop.stop();
    });
    ASSERT_TRUE(opened) << opened.error().text;
    source = std::move(*opened);
  }
  // Runs the loop until something was said, at most two seconds; returns what was said since the last time.
  std::vector<std::string> next(std::chrono::milliseconds most = 2s) {
    net::Timer limit(loop);
    limit.arm(most, [this] { loop.stop(); });
    running = true;
    if (said.empty()) loop.run();
    running = false;
    return std::exchange(said, {});
  }

  // The same until so many things were said.
  std::vector<std::string> all_of_next(std::size_t count) {
    std::vector<std::string> all;
    while (all.size() < count) {
      const auto more = next();
      if (more.empty()) break;
      all.insert(all.end(), more.begin(), more.end());
    }
    return all;
  }

  std::string top;
  std::string folder;  // that is watched
  net::Loop loop;
  std::unique_ptr<FolderSource> source;
  std::vector<std::string> said;
  std::vector<std::string> notes;
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

TEST_F(FolderSourceTest, FollowsAMountedConfigMap) {
  const auto version = [&](const std::string& name, const std::string& text) {
    std::filesystem::create_directory(folder + "/" + name);
    write(name + "/a.yaml", text);
  };
  version("..one", account("a"));
  std::filesystem::create_symlink("..one", folder + "/..data");
  std::filesystem::create_symlink("..data/a.yaml", folder + "/a.yaml");
  open();
  EXPECT_THAT(next(), ElementsAre("+a"));

  version("..two", account("b"));
  std::filesystem::create_symlink("..two", folder + "/..tmp");
  std::filesystem::rename(folder + "/..tmp", folder + "/..data");

  EXPECT_THAT(next(), ElementsAre("-a", "+b"));
}

TEST_F(FolderSourceTest, FindsWhatIsLinkedIn) {
  std::filesystem::create_directory(folder + "/elsewhere");
  write("elsewhere/x", account("x"));
  write("elsewhere/y", account("y"));
  write("elsewhere/z", account("z"));
  still("elsewhere/y");
  open({.again = 50ms});
  next();

  std::filesystem::create_symlink("elsewhere/x", folder + "/x.yaml");
  EXPECT_THAT(next(), ElementsAre("+x"));
  std::filesystem::create_hard_link(folder + "/elsewhere/y", folder + "/y.yaml");
  std::filesystem::remove(folder + "/elsewhere/y");  // so that it looks like a file that is being written
  EXPECT_THAT(next(), ElementsAre("+y"));
  write("elsewhere/x", account("x2"));  // the target of a link, which nobody tells us
  still("elsewhere/x");
  EXPECT_THAT(next(), ElementsAre("-x", "+x2"));
  std::filesystem::rename(folder + "/elsewhere/z", folder + "/z.yaml");
  EXPECT_THAT(next(), ElementsAre("+z"));
}

TEST_F(FolderSourceTest, AFolderThatIsMovedAwayDeletesNothing) {
  write("c/a.yaml", account("a"));
  write("c/b.yaml", account("b"));
  folder += "/c";
  open({.again = 50ms});
  EXPECT_THAT(next(), ElementsAre("+a", "+b"));

  std::filesystem::rename(folder, top + "/away");
  EXPECT_THAT(next(), ElementsAre("!the folder is gone"));
  std::filesystem::remove(top + "/away/a.yaml");  // no longer ours
  EXPECT_THAT(next(200ms), ElementsAre());

  std::filesystem::create_directory(folder);
  write("b.yaml", account("b2"));
  EXPECT_THAT(all_of_next(3), UnorderedElementsAre("+b2", "-a", "-b"));
  write("d.yaml", account("d"));
  EXPECT_THAT(next(), ElementsAre("+d"));
}

TEST_F(FolderSourceTest, ASwappedLinkToTheFolderIsFollowed) {
  write("one/a.yaml", account("a"));
  write("two/b.yaml", account("b"));
  std::filesystem::create_directory_symlink("one", folder + "/now");
  folder += "/now";
  open({.again = 50ms});
  EXPECT_THAT(next(), ElementsAre("+a"));

  std::filesystem::create_directory_symlink("two", top + "/tmp");
  std::filesystem::rename(top + "/tmp", folder);

  EXPECT_THAT(all_of_next(2), ElementsAre("+b", "-a"));
}

TEST_F(FolderSourceTest, AFileThatCannotBeReadIsFatalOnlyAtTheStartAndOnlyWhenAskedFor) {
  write("a.yaml", account("a"));
  write("big.yaml", std::string(kMaxFileBytes + 1, '#'));

  const auto refused = FolderSource::open(loop, folder, {.whole = true}, [](const Diff&) {});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().text, ::testing::HasSubstr("big.yaml: larger than 16 MiB"));

  open();
  EXPECT_THAT(next(), ElementsAre("+a", ::testing::HasSubstr("larger than 16 MiB")));
  write("big.yaml", account("b"));
  EXPECT_THAT(next(), ElementsAre("+b"));
}

// Root reads everything, so for this test it is somebody else.
struct Nobody {
  explicit Nobody(const std::string& folder) {
    constexpr uid_t kId = 65534;
    if (::geteuid() != 0) return;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) EXPECT_EQ(::chown(entry.path().c_str(), kId, kId), 0);
    EXPECT_EQ(::chown(folder.c_str(), kId, kId), 0);
    EXPECT_EQ(::seteuid(kId), 0);
  }
  ~Nobody() { EXPECT_EQ(::seteuid(::getuid()), 0); }
};

TEST_F(FolderSourceTest, AModeThatIsMendedIsNoticed) {
  write("a.yaml", account("a"));
  const Nobody nobody(folder);
  ::chmod((folder + "/a.yaml").c_str(), 0);
  open();
  EXPECT_THAT(next(), ElementsAre(::testing::HasSubstr("Permission denied")));

  ::chmod((folder + "/a.yaml").c_str(), 0600);

  EXPECT_THAT(next(), ElementsAre("+a"));
}

TEST_F(FolderSourceTest, SaysWhatItDoesNotRead) {
  std::filesystem::create_directory(folder + "/sub");
  write("a.json", "{}");
  std::filesystem::create_symlink("nowhere", folder + "/gone.yaml");
  open();

  EXPECT_THAT(notes, ElementsAre(folder + "/a.json: only .yaml and .yml are read, JSON in them as well",
                                 folder + "/gone.yaml: the link leads nowhere", folder + "/sub: folders in it are not read"));
}

TEST_F(FolderSourceTest, AFolderThatIsNotThereIsAnError) {
  const auto opened = FolderSource::open(loop, folder + "/nothing", {}, [](const Diff&) {});

  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error().text, ::testing::HasSubstr("nothing"));
}

}  // namespace
}  // namespace culvert::config
