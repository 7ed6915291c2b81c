#include "common/base/secrets.h"

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace culvert {
namespace {

TEST(Secrets, AWipedStringIsEmptyAndItsMemoryZero) {
  std::string text = "a secret that is too long to lie in the string itself";
  const char* where = text.data();
  const std::size_t size = text.size();

  wipe(text);

  EXPECT_TRUE(text.empty());
  EXPECT_EQ(std::string_view(where, size), std::string(size, '\0'));
}

TEST(Secrets, WhatTheStringHeldBeforeItBecameShorterIsWipedToo) {
  std::string text(100, 's');
  const char* where = text.data();
  text.resize(50);

  wipe(text);

  EXPECT_EQ(std::string_view(where, 100), std::string(100, '\0'));
}

// In a child: it cannot be taken back.
TEST(Secrets, NoDumpsAfterwards) {
  const pid_t child = ::fork();
  if (child == 0) {
    rlimit limit{};
    const bool done = forbid_dumps() && ::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 && ::getrlimit(RLIMIT_CORE, &limit) == 0 &&
                      limit.rlim_max == 0;
    ::_exit(done ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace culvert
