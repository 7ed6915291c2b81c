#include "common/base/mounts.h"

#include <gtest/gtest.h>

namespace culvert {
namespace {

TEST(Mountinfo, NamesRootPointAndType) {
  const auto mounts = parse_mountinfo(
      "23 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
      "40 31 0:31 /system.slice/x /run/part rw - cgroup2 cgroup2 rw,nsdelegate\n");

  ASSERT_EQ(mounts.size(), 2U);
  EXPECT_EQ(mounts[0].point, "/");
  EXPECT_EQ(mounts[0].type, "ext4");
  EXPECT_EQ(mounts[1].root, "/system.slice/x");
  EXPECT_EQ(mounts[1].point, "/run/part");
  EXPECT_EQ(mounts[1].type, "cgroup2");
  EXPECT_EQ(mounts[1].options, "rw,nsdelegate");
}

TEST(Mountinfo, UndoesTheEscapesOfPaths) {
  const auto mounts = parse_mountinfo("41 31 0:31 /a\\134b /run/two\\040words\\011x rw - tmpfs tmpfs rw\n");

  ASSERT_EQ(mounts.size(), 1U);
  EXPECT_EQ(mounts[0].root, "/a\\b");
  EXPECT_EQ(mounts[0].point, "/run/two words\tx");
}

TEST(Mountinfo, PassesOverWhatIsNoMount) {
  EXPECT_TRUE(parse_mountinfo("").empty());
  EXPECT_TRUE(parse_mountinfo("31 23 0:28 / /x rw\n31 23 0:28 / - tmpfs\n31 23 0:28 / /x rw -\nwords\n").empty());
}

}  // namespace
}  // namespace culvert
