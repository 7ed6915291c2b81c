#include "cli/bug_report/archive.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cstdio>
#include <filesystem>
#include <random>

namespace culvert::cli {
namespace {

using testing::HasSubstr;

struct ArchiveTest : testing::Test {
  ArchiveTest() {
    char name[] = "/tmp/culvert-archive-XXXXXX";
    folder = ::mkdtemp(name);
  }
  ~ArchiveTest() override { std::filesystem::remove_all(folder); }

  // What another program makes of it.
  static std::string ran(const std::string& command) {
    std::string out;
    std::FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
    char buffer[4096];
    for (std::size_t count = 0; (count = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) out.append(buffer, count);
    return ::pclose(pipe) == 0 ? out : "failed: " + out;
  }

  std::string folder;
  const std::chrono::system_clock::time_point then{std::chrono::seconds(1'700'000'000)};
};

TEST_F(ArchiveTest, TarReadsItBack) {
  const std::string path = folder + "/a.tar.gz", big(1'000'000, 'x'), deep = std::string(120, 'f') + "/" + std::string(90, 'n');
  {
    auto archive = Archive::create(path);
    ASSERT_TRUE(archive) << archive.error().text;
    ASSERT_TRUE(archive->add("top/empty", "", then));
    ASSERT_TRUE(archive->add("top/exact", std::string(512, 'y'), then));
    ASSERT_TRUE(archive->add("top/big", big, then));
    ASSERT_TRUE(archive->add(deep, "deep", then));
    EXPECT_FALSE(archive->add(std::string(200, 'n'), "too long", then));
    const auto size = archive->finish();
    ASSERT_TRUE(size);
    EXPECT_EQ(*size, std::filesystem::file_size(path));
  }
  EXPECT_EQ(ran("tar -tzf " + path), "top/empty\ntop/exact\ntop/big\n" + deep + "\n");
  EXPECT_EQ(ran("tar -xzOf " + path + " top/exact"), std::string(512, 'y'));
  EXPECT_EQ(ran("tar -xzOf " + path + " top/big"), big);
  EXPECT_EQ(ran("tar -xzOf " + path + " " + deep), "deep");
  EXPECT_THAT(ran("TZ=UTC tar -tvzf " + path + " top/empty"), HasSubstr("2023-11-14"));
}

TEST_F(ArchiveTest, IsForItsOwnerAloneAndReplacesNothing) {
  const std::string path = folder + "/a.tar.gz";
  auto archive = Archive::create(path);
  ASSERT_TRUE(archive);
  struct stat about{};
  ASSERT_EQ(::stat(path.c_str(), &about), 0);

  EXPECT_EQ(about.st_mode & 0777, 0600U);
  EXPECT_THAT(Archive::create(path).error().text, HasSubstr("File exists"));
  EXPECT_THAT(Archive::create(folder + "/none/a").error().text, HasSubstr("No such file"));
}

TEST_F(ArchiveTest, WhatIsNotFinishedIsNotLeftBehind) {
  const std::string path = folder + "/a.tar.gz";
  {
    auto archive = Archive::create(path);
    ASSERT_TRUE(archive->add("a", "b", then));
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(ArchiveTest, AFullDiskIsSaidWithWhatToDoAndNothingIsLeftOnIt) {
  const bool mounted = ::unshare(CLONE_NEWNS) == 0 && ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                       ::mount("small", folder.c_str(), "tmpfs", 0, "size=16k") == 0;
  if (!mounted) GTEST_SKIP() << "may not mount";
  const std::string path = folder + "/a.tar.gz";
  std::string why;
  {
    auto archive = Archive::create(path);
    ASSERT_TRUE(archive) << archive.error().text;
    std::string noise(1'000'000, '\0');  // does not compress
    std::minstd_rand random(1);
    for (char& byte : noise) byte = static_cast<char>(random() >> 8);
    const auto done = archive->add("big", noise, then);
    why = done ? "" : done.error().text;
  }

  EXPECT_EQ(why, "writing " + path +
                     ": No space left on device (make room there, or name another place with --output; nothing of it is left)");
  EXPECT_TRUE(std::filesystem::is_empty(folder));
  ::umount2(folder.c_str(), MNT_DETACH);
}

}  // namespace
}  // namespace culvert::cli
