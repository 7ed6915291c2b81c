#include "common/base/slice.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <cstdint>
#include <thread>

namespace culvert {
namespace {

std::uint64_t slice() {
  struct sched_attr attributes{};
  EXPECT_EQ(sched_getattr(0, &attributes, sizeof attributes, 0), 0);
  return attributes.sched_runtime;
}

TEST(Slice, IsTheShortestAlsoOfThreadsThatComeLater) {
  const std::uint64_t before = slice();
  if (before == 0) GTEST_SKIP() << "this kernel gives no thread a slice of its own (Linux 6.12 does)";
  std::uint64_t own = 0, later = 0;
  std::thread([&] {
    ask_for_short_slices();
    own = slice();
    std::thread([&] { later = slice(); }).join();
  }).join();

  EXPECT_EQ(own, 100'000U);
  EXPECT_EQ(later, 100'000U);
  EXPECT_GT(before, own);
  EXPECT_EQ(slice(), before) << "who did not ask";
}

}  // namespace
}  // namespace culvert
