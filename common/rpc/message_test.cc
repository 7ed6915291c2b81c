#include "common/rpc/message.h"

#include <gtest/gtest.h>

#include <vector>

namespace culvert::rpc {
namespace {

using Step = MessageReader::Step;

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }
std::string framed(const std::string& body) { return prefix_of(body.size()) + body; }

// All messages of a text that comes in pieces of `size` bytes.
std::vector<std::string> read(const std::string& text, std::size_t size) {
  MessageReader reader;
  std::vector<std::string> out;
  for (std::size_t at = 0; at < text.size(); at += size) {
    auto bytes = bytes_of(text).subspan(at, std::min(size, text.size() - at));
    for (Step step = reader.take(bytes); step != Step::kMore; step = reader.take(bytes))
      if (step == Step::kMessage) out.push_back(reader.message());
    EXPECT_TRUE(bytes.empty());
  }
  EXPECT_TRUE(reader.between());
  return out;
}

TEST(Messages, ComeInAnyPieces) {
  const std::vector<std::string> sent = {"one", "", std::string(300, 'x'), "", "last"};
  std::string text;
  for (const std::string& each : sent) text += framed(each);
  for (const std::size_t size : {1, 2, 3, 5, 7, 64, 4096}) EXPECT_EQ(read(text, size), sent) << size;
}

TEST(Messages, SayHowLongTheyAreBeforeTheyCome) {
  MessageReader reader;
  const std::string text = prefix_of(0x01020304) + "x";
  auto bytes = bytes_of(text);

  EXPECT_EQ(reader.take(bytes), Step::kBegun);
  EXPECT_EQ(reader.size(), 0x01020304U);
  EXPECT_EQ(bytes.size(), 1U);
}

TEST(Messages, AreNotCompressed) {
  MessageReader reader;
  const std::string text("\1\0\0\0\1x", 6);
  auto bytes = bytes_of(text);

  EXPECT_EQ(reader.take(bytes), Step::kCompressed);
}

}  // namespace
}  // namespace culvert::rpc
