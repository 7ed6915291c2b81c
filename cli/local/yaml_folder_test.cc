#include "cli/local/yaml_folder.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>

#include "common/config/folder.h"

namespace culvert::local {
namespace {

using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

constexpr auto kQuiet = config::Folder::kQuiet;
constexpr Texts::Time kNow{1h};

TEST(Texts, AFileThatVanishesCountsAsItWasUntilItHasBeenAwayForAWhile) {
  Texts texts;
  EXPECT_TRUE(texts.found("a.yaml", "one", kNow));

  EXPECT_TRUE(texts.found("a.yaml", std::nullopt, kNow));

  EXPECT_TRUE(texts.away("a.yaml"));
  EXPECT_EQ(texts.deadline(), kNow + kQuiet);
  EXPECT_FALSE(texts.expire(kNow + kQuiet - 1ms));
  EXPECT_THAT(texts.all(), UnorderedElementsAre(Pair("a.yaml", "one")));
  EXPECT_TRUE(texts.expire(kNow + kQuiet));
  EXPECT_THAT(texts.all(), IsEmpty());
  EXPECT_EQ(texts.deadline(), std::nullopt);
}

TEST(Texts, AFileThatIsBackInTimeWasNeverAway) {
  Texts texts;
  texts.found("a.yaml", "one", kNow);
  texts.found("a.yaml", std::nullopt, kNow);
  EXPECT_FALSE(texts.found("a.yaml", "", kNow + 10ms)) << "somebody is about to write it";
  EXPECT_FALSE(texts.found("a.yaml", std::nullopt, kNow + 20ms));
  EXPECT_EQ(texts.deadline(), kNow + kQuiet) << "since it was seen last";

  EXPECT_TRUE(texts.found("a.yaml", "two", kNow + 30ms));

  EXPECT_FALSE(texts.expire(kNow + 1h));
  EXPECT_THAT(texts.all(), UnorderedElementsAre(Pair("a.yaml", "two")));
}

TEST(Texts, TellsOnlyWhatIsAnother) {
  Texts texts;
  EXPECT_FALSE(texts.found("a.yaml", std::nullopt, kNow));
  EXPECT_TRUE(texts.found("a.yaml", "one", kNow));
  EXPECT_FALSE(texts.found("a.yaml", "one", kNow));
}

class YamlFolderTest : public ::testing::Test {
 protected:
  YamlFolderTest() : top(::testing::TempDir() + "culvert-yaml-folder-XXXXXX") {
    EXPECT_NE(mkdtemp(top.data()), nullptr);
    fs::create_directory(top + "/folder");
    put("folder/a.yaml", "one");
  }
  ~YamlFolderTest() override {
    folder.reset();
    fs::remove_all(top);
  }

  void put(const std::string& name, const std::string& text) const { std::ofstream(top + "/" + name) << text; }
  void rename(const std::string& from, const std::string& to) const { fs::rename(top + "/" + from, top + "/" + to); }
  void follow(const std::string& name = "folder") {
    const std::string path = top + "/" + name;
    folder = std::make_unique<YamlFolder>(
        loop, path, Fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)), [this] { ++told; }, 20ms);
    ASSERT_TRUE(folder->open());
  }
  // Turns the loop until it holds; false after ten seconds.
  bool until(const std::function<bool()>& holds) {
    const auto end = Loop::Clock::now() + 10s;
    loop.after(10s, [] {});
    while (!holds() && Loop::Clock::now() < end) loop.turn();
    return holds();
  }
  bool holds(const std::map<std::string, std::string>& files) const {
    return folder->texts().all() == files && !folder->texts().deadline();
  }
  bool comes_to(const std::map<std::string, std::string>& files) {
    return until([&] { return holds(files); });
  }

  std::string top;
  Loop loop;
  std::unique_ptr<YamlFolder> folder;
  int told = 0;
};

TEST_F(YamlFolderTest, ReadsWhatIsThereAndThenWhatChanges) {
  put("folder/.hidden.yaml", "no");
  put("folder/a.yaml~", "no");
  follow();
  EXPECT_TRUE(holds({{"a.yaml", "one"}}));
  EXPECT_EQ(told, 0);

  put("folder/b.yml", "two");
  EXPECT_TRUE(comes_to({{"a.yaml", "one"}, {"b.yml", "two"}}));
  fs::remove(top + "/folder/a.yaml");
  EXPECT_TRUE(comes_to({{"b.yml", "two"}}));
  EXPECT_GT(told, 0);
}

TEST_F(YamlFolderTest, AnEditorThatSavesByRenamingTakesNothingAway) {
  follow();

  rename("folder/a.yaml", "folder/a.yaml~");
  folder->catch_up();
  EXPECT_EQ(folder->texts().all().at("a.yaml"), "one");
  std::ofstream half(top + "/folder/a.yaml");
  half << "two, not" << std::flush;
  put("folder/b.yaml", "another");
  folder->catch_up();
  EXPECT_EQ(folder->texts().all().at("a.yaml"), "one") << "it is not written yet";
  half << " half";
  half.close();

  folder->catch_up();
  EXPECT_TRUE(holds({{"a.yaml", "two, not half"}, {"b.yaml", "another"}}));
}

TEST_F(YamlFolderTest, AFileThatIsRenamedIsUnderOneNameInTheEnd) {
  follow();
  rename("folder/a.yaml", "folder/b.yaml");
  EXPECT_TRUE(comes_to({{"b.yaml", "one"}}));
}

TEST_F(YamlFolderTest, FollowsLinksAndWhatTheyLeadTo) {
  put("elsewhere", "linked");
  follow();

  fs::create_symlink("../elsewhere", top + "/folder/b.yaml");
  EXPECT_TRUE(comes_to({{"a.yaml", "one"}, {"b.yaml", "linked"}}));
  put("elsewhere", "linked, and another");
  EXPECT_TRUE(comes_to({{"a.yaml", "one"}, {"b.yaml", "linked, and another"}}));
}

TEST_F(YamlFolderTest, FollowsAMountedConfigMap) {
  for (const std::string version : {"1", "2"}) {
    fs::create_directory(top + "/folder/..v" + version);
    put("folder/..v" + version + "/c.yaml", version);
  }
  fs::create_symlink("..v1", top + "/folder/..data");
  fs::create_symlink("..data/c.yaml", top + "/folder/c.yaml");
  follow();
  EXPECT_TRUE(holds({{"a.yaml", "one"}, {"c.yaml", "1"}}));

  fs::create_symlink("..v2", top + "/folder/..data_tmp");
  rename("folder/..data_tmp", "folder/..data");
  EXPECT_TRUE(comes_to({{"a.yaml", "one"}, {"c.yaml", "2"}}));
}

TEST_F(YamlFolderTest, AFolderThatIsMovedAwayDeletesNothingAndTheNextOneCounts) {
  follow("folder/");

  rename("folder", "old");
  const auto later = Loop::Clock::now() + 3 * kQuiet;
  until([&] { return Loop::Clock::now() > later; });
  EXPECT_TRUE(holds({{"a.yaml", "one"}}));

  fs::create_directory(top + "/folder");
  put("folder/b.yaml", "two");
  EXPECT_TRUE(comes_to({{"b.yaml", "two"}}));
  put("folder/b.yaml", "three");
  EXPECT_TRUE(comes_to({{"b.yaml", "three"}})) << "it is watched";
}

TEST_F(YamlFolderTest, ManyMoreChangesThanAreKeptForUsAreNotMissed) {
  std::ifstream limit("/proc/sys/fs/inotify/max_queued_events");
  int most = 0;
  limit >> most;
  ASSERT_GT(most, 0);
  follow();

  for (int times = 0; times < most; ++times) put(times % 2 == 0 ? "folder/x.yaml" : "folder/y.yaml", "again");
  put("folder/z.yaml", "the last");

  folder->catch_up();
  EXPECT_TRUE(holds({{"a.yaml", "one"}, {"x.yaml", "again"}, {"y.yaml", "again"}, {"z.yaml", "the last"}}));
}

}  // namespace
}  // namespace culvert::local
