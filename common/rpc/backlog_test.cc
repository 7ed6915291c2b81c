#include "common/rpc/backlog.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace culvert::rpc {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }
std::string text_of(const Backlog& backlog) {
  const auto bytes = backlog.bytes();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST(Backlog, IsReadInTheOrderInWhichItCame) {
  Backlog backlog;
  EXPECT_TRUE(backlog.empty());
  backlog.append(bytes_of("one two"));
  backlog.drop(0);
  backlog.drop(2);
  EXPECT_EQ(text_of(backlog), "e two");

  backlog.append(bytes_of(" three"));
  EXPECT_EQ(text_of(backlog), "e two three");
  backlog.drop(9);

  EXPECT_EQ(text_of(backlog), "ee");
  EXPECT_EQ(backlog.size(), 2U);
  EXPECT_FALSE(backlog.empty());
}

TEST(Backlog, WhatIsReadTakesNoMemory) {
  Backlog backlog;
  backlog.append(bytes_of(std::string(100'000, 'x')));
  backlog.drop(50'000);
  EXPECT_EQ(backlog.size(), 50'000U);

  backlog.drop(50'000);

  EXPECT_TRUE(backlog.empty());
  EXPECT_EQ(backlog.memory(), 0U);
}

}  // namespace
}  // namespace culvert::rpc
