#include "cni/install/installer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "cni/install/files.h"
#include "common/base/format.h"
#include "common/net/timer.h"

namespace culvert::install {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr std::string_view kBridge = R"({"cniVersion":"1.0.0","name":"pods","plugins":[{"type":"bridge"}]})";

std::string read(const fs::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

class Install : public testing::Test {
 protected:
  Install() {
    fs::remove_all(root_);
    fs::create_directories(places_.binaries);
    fs::create_directories(places_.configuration);
    write(places_.program, "the plugin");
    write(places_.configuration / "10-bridge.conflist", kBridge);
    ::chmod((places_.configuration / "10-bridge.conflist").c_str(), 0640);
  }
  ~Install() override { fs::remove_all(root_); }

  static void write(const fs::path& path, std::string_view text) { std::ofstream(path) << text; }

  // Until `condition` holds; the test's own time limit is the only clock.
  net::Task<> until(auto condition) {
    while (!condition()) co_await net::sleep_for(loop_, 5ms);
  }

  const fs::path root_ = fs::path(testing::TempDir()) / culvert::format("install-{}", ::getpid());
  const Places places_{.program = root_ / "plugin", .binaries = root_ / "bin", .configuration = root_ / "net.d"};
  const fs::path own_ = places_.configuration / kOwnFile;
  const Wish wish_{.entry = R"({"type":"culvert-cni"})"};
  net::Loop loop_;
};

TEST_F(Install, PutsProgramAndConfigurationThereOnce) {
  EXPECT_EQ(put(places_, wish_), true);
  EXPECT_EQ(put(places_, wish_), false);

  struct stat status{};
  EXPECT_EQ(read(places_.binaries / "culvert-cni"), "the plugin");
  ASSERT_EQ(::stat((places_.binaries / "culvert-cni").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0755U);
  EXPECT_THAT(read(own_), HasSubstr(R"({"type":"bridge"}, {"type":"culvert-cni"}])"));
  ASSERT_EQ(::stat(own_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0640U);  // as the file that it was made of
  EXPECT_EQ(std::distance(fs::directory_iterator(places_.configuration), {}), 2);
}

// The folder of programs may be full, or mounted for reading: ours of before is there, and would be past if the entry were not.
TEST_F(Install, WritesTheEntryAlsoWhereAProgramOfBeforeCannotBeReplaced) {
  fs::remove(places_.program);
  write(places_.binaries / "culvert-cni", "an older plugin");
  ::chmod((places_.binaries / "culvert-cni").c_str(), 0755);

  const auto done = put(places_, wish_);

  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().text, HasSubstr(places_.program.string()));
  EXPECT_THAT(read(own_), HasSubstr("culvert-cni"));
  EXPECT_EQ(read(places_.binaries / "culvert-cni"), "an older plugin");
}

TEST_F(Install, WritesNoEntryForAProgramThatIsNotThere) {
  fs::remove(places_.program);

  EXPECT_FALSE(put(places_, wish_));
  EXPECT_FALSE(fs::exists(own_));
}

TEST_F(Install, IsNotInstalledWhileWhatWasTakenAwayCannotBePutBack) {
  std::string said;
  Installer installer(loop_, places_, wish_, [&](const std::string& text) { said = text; });
  loop_.run(until([&] { return installer.installed(); }));
  fs::remove(places_.program);  // and with it what could be put back

  fs::remove(places_.binaries / "culvert-cni");
  loop_.run(until([&] { return !installer.installed(); }));

  EXPECT_THAT(said, HasSubstr(places_.program.string()));
  write(places_.program, "the plugin");
  loop_.run(until([&] { return installer.installed() && said.empty(); }));
  EXPECT_EQ(installer.restored(), 1U);
}

TEST_F(Install, ReplacesAProgramThatIsAnother) {
  write(places_.binaries / "culvert-cni", "an older plugin");

  EXPECT_EQ(put(places_, wish_), true);
  EXPECT_EQ(read(places_.binaries / "culvert-cni"), "the plugin");
}

TEST_F(Install, LeavesNothingBehind) {
  ASSERT_TRUE(put(places_, wish_));

  ASSERT_TRUE(remove(places_, wish_));
  EXPECT_TRUE(fs::is_empty(places_.binaries));
  EXPECT_EQ(std::distance(fs::directory_iterator(places_.configuration), {}), 1);
  EXPECT_EQ(read(places_.configuration / "10-bridge.conflist"), kBridge);
  EXPECT_TRUE(remove(places_, wish_));
}

TEST_F(Install, SaysWhatItCannotDo) {
  fs::remove(places_.configuration / "10-bridge.conflist");
  EXPECT_THAT(put(places_, wish_).error().text, HasSubstr("is the cluster's CNI plugin installed yet?"));

  fs::remove_all(places_.binaries);
  EXPECT_THAT(put(places_, wish_).error().text, HasSubstr("No such file or directory"));
}

TEST_F(Install, LooksAtNothingThatIsNoFile) {
  ::mkfifo((places_.configuration / "05-pipe.conflist").c_str(), 0600);
  fs::create_symlink("nowhere", places_.configuration / "06-nowhere.conflist");

  EXPECT_EQ(read_folder(places_.configuration)->size(), 1U);
}

TEST_F(Install, FollowsWhatOthersDo) {
  std::string trouble = "none heard";
  Installer installer(loop_, places_, wish_, [&](const std::string& text) { trouble = text; });

  loop_.run([](auto& test, auto& is, auto& heard) -> net::Task<> {
    co_await test.until([&] { return is.installed(); });
    EXPECT_EQ(heard, "");
    fs::remove(test.own_);
    co_await test.until([&] { return is.restored() == 1 && fs::exists(test.own_); });
    fs::remove(test.places_.binaries / "culvert-cni");
    co_await test.until([&] { return is.restored() == 2 && fs::exists(test.places_.binaries / "culvert-cni"); });
    write(test.places_.configuration / "10-bridge.conflist",
          R"({"cniVersion":"1.0.0","name":"pods","plugins":[{"type":"bridge","mtu":1400}]})");
    co_await test.until([&] { return read(test.own_).contains("1400"); });
    write(test.places_.configuration / "10-bridge.conflist", "{");  // its owner is writing
    co_await test.until([&] { return heard.contains("10-bridge.conflist: no JSON"); });
    EXPECT_TRUE(read(test.own_).contains("1400"));
  }(*this, installer, trouble));
}

TEST_F(Install, SaysWhenSomebodyElseWantsItOtherwise) {
  std::string trouble;
  Installer installer(loop_, places_, wish_, [&](const std::string& text) { trouble = text; });

  loop_.run([](auto& test, auto& is, auto& heard) -> net::Task<> {
    co_await test.until([&] { return is.installed(); });
    for (std::uint64_t times = 1; times <= 5; ++times) {
      fs::remove(test.own_);
      co_await test.until([&] { return is.restored() == times; });
    }
    co_await test.until([&] { return heard.contains("takes the plugin out again and again"); });
    EXPECT_TRUE(fs::exists(test.own_));
  }(*this, installer, trouble));
}

// A file system of 16 KiB at a folder, seen by this process alone.
class SmallDisk {
 public:
  explicit SmallDisk(fs::path at) : at_(std::move(at)) {
    mounted_ = ::unshare(CLONE_NEWNS) == 0 && ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
               ::mount("small", at_.c_str(), "tmpfs", 0, "size=16k") == 0;
  }
  ~SmallDisk() {
    if (mounted_) ::umount2(at_.c_str(), MNT_DETACH);
  }
  bool mounted() const { return mounted_; }
  bool grow() const { return ::mount("small", at_.c_str(), "tmpfs", MS_REMOUNT, "size=1m") == 0; }

 private:
  const fs::path at_;
  bool mounted_ = false;
};

TEST_F(Install, LeavesTheProgramWholeWhenTheDiskIsFull) {
  const SmallDisk disk(places_.binaries);
  if (!disk.mounted()) GTEST_SKIP() << "may not mount";
  write(places_.binaries / "culvert-cni", "an older plugin");
  write(places_.program, std::string(64 << 10, 'x'));

  EXPECT_EQ(put(places_, wish_).error().text,
            culvert::format("writing {}/.culvert-cni.culvert-new: No space left on device", places_.binaries.string()));

  EXPECT_EQ(read(places_.binaries / "culvert-cni"), "an older plugin");
  EXPECT_EQ(std::distance(fs::directory_iterator(places_.binaries), {}), 1);
  EXPECT_FALSE(fs::exists(own_)) << "nobody is told to call what is not there";
}

TEST_F(Install, LeavesTheConfigurationWholeWhenTheDiskIsFull) {
  const SmallDisk disk(places_.configuration);
  if (!disk.mounted()) GTEST_SKIP() << "may not mount";
  write(places_.configuration / "10-bridge.conflist", kBridge);
  write(places_.configuration / "others", std::string(12 << 10, 'x'));

  EXPECT_EQ(
      put(places_, wish_).error().text,
      culvert::format("writing {}/.00-culvert.conflist.culvert-new: No space left on device", places_.configuration.string()));

  EXPECT_EQ(read(places_.configuration / "10-bridge.conflist"), kBridge);
  EXPECT_EQ(std::distance(fs::directory_iterator(places_.configuration), {}), 2);
}

// A new program and a changed configuration do not fit. What was there still holds the pods of the mesh.
TEST_F(Install, StaysInTheConfigurationAsLongAsTheDiskIsFull) {
  const SmallDisk disk(places_.binaries);
  if (!disk.mounted()) GTEST_SKIP() << "may not mount";
  ASSERT_TRUE(put(places_, wish_));
  write(places_.program, std::string(64 << 10, 'x'));
  std::string trouble;
  int tries = 0;
  const Installer installer(
      loop_, places_, wish_,
      [&](const std::string& text) {
        trouble = text;
        ++tries;
      },
      0s);

  loop_.run([](auto& test, auto& heard, auto& times) -> net::Task<> {
    for (int more = 0; more < 3; more++) {
      const auto before = times;
      write(test.places_.configuration / "of-somebody-else", std::to_string(more));
      co_await test.until([&] { return times > before; });
      EXPECT_THAT(heard, HasSubstr("No space left on device"));
      EXPECT_TRUE(fs::exists(test.own_));
      EXPECT_EQ(read(test.places_.binaries / "culvert-cni"), "the plugin");
    }
  }(*this, trouble, tries));
}

TEST_F(Install, GoesWhenWhatItIsMadeOfHasGone) {
  std::string trouble;
  Installer installer(loop_, places_, wish_, [&](const std::string& text) { trouble = text; }, 0s);

  loop_.run([](auto& test, auto& is, auto& heard) -> net::Task<> {
    co_await test.until([&] { return is.installed(); });
    fs::remove(test.places_.configuration / "10-bridge.conflist");
    co_await test.until([&] { return !fs::exists(test.own_); });
    co_await test.until([&] { return heard.contains("is the cluster's CNI plugin installed yet?"); });
    EXPECT_FALSE(is.installed());
    write(test.places_.configuration / "10-bridge.conflist", kBridge);
    co_await test.until([&] { return is.installed() && fs::exists(test.own_); });
  }(*this, installer, trouble));
}

TEST_F(Install, GoesWhenThatHasGoneAndTheDiskIsFull) {
  const SmallDisk disk(places_.binaries);
  if (!disk.mounted()) GTEST_SKIP() << "may not mount";
  ASSERT_TRUE(put(places_, wish_));
  write(places_.program, std::string(64 << 10, 'x'));
  fs::remove(places_.configuration / "10-bridge.conflist");
  const Installer installer(loop_, places_, wish_, [](const std::string&) {}, 0s);

  loop_.run([](auto& test) -> net::Task<> { co_await test.until([&] { return !fs::exists(test.own_); }); }(*this));
}

TEST_F(Install, IsThereOnceTheFullDiskHasRoom) {
  const SmallDisk disk(places_.binaries);
  if (!disk.mounted()) GTEST_SKIP() << "may not mount";
  write(places_.program, std::string(64 << 10, 'x'));
  std::string trouble;
  int tries = 0;
  Installer installer(loop_, places_, wish_, [&](const std::string& text) {
    trouble = text;
    ++tries;
  });

  loop_.run([](auto& test, auto& is, auto& on, auto& heard, auto& times) -> net::Task<> {
    co_await test.until([&] { return heard.contains("No space left on device"); });
    co_await net::sleep_for(test.loop_, 200ms);
    EXPECT_LE(times, 3) << "its own traces do not have it try again and again";
    EXPECT_TRUE(on.grow());
    write(test.places_.binaries / "of-somebody-else", "x");
    co_await test.until([&] { return is.installed(); });
    EXPECT_EQ(heard, "");
    EXPECT_EQ(fs::file_size(test.places_.binaries / "culvert-cni"), 64U << 10);
  }(*this, installer, disk, trouble, tries));
}

}  // namespace
}  // namespace culvert::install
