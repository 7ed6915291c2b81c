#include "common/http/hpack.h"

#include <gtest/gtest.h>

namespace culvert::http {
namespace {

std::vector<std::byte> encode(HpackEncoder& encoder, const HeaderList& headers) {
  std::vector<std::byte> out;
  encoder.encode(headers, out);
  return out;
}

TEST(Hpack, CarriesHeadersAndLearnsRepeatedOnes) {
  const HeaderList headers = {{":method", "CONNECT"}, {":authority", "10.0.0.1:80"}, {"baggage", "k8s.cluster.name=a"}};
  HpackEncoder encoder;
  HpackDecoder decoder;

  const auto first = encode(encoder, headers);
  const auto second = encode(encoder, headers);

  EXPECT_LT(second.size(), first.size() / 2);
  EXPECT_EQ(decoder.decode(first, 1000)->headers, headers);
  EXPECT_EQ(decoder.decode(second, 1000)->headers, headers);
}

TEST(Hpack, KeepsTheTableInStepPastTheLimit) {
  const HeaderList large = {{"a", std::string(200, 'x')}, {"b", "1"}};
  HpackEncoder encoder;
  HpackDecoder decoder;

  const auto cut = decoder.decode(encode(encoder, large), 100);
  const auto whole = decoder.decode(encode(encoder, large), 1000);

  ASSERT_TRUE(cut);
  EXPECT_TRUE(cut->too_large);
  EXPECT_TRUE(cut->headers.empty());
  EXPECT_EQ(whole->headers, large);
}

TEST(Hpack, FollowsThePeersTableLimit) {
  const HeaderList headers = {{"x-a", "value"}};
  HpackEncoder encoder;
  HpackDecoder decoder;

  encoder.set_table_limit(0);

  EXPECT_EQ(decoder.decode(encode(encoder, headers), 1000)->headers, headers);
  EXPECT_EQ(decoder.decode(encode(encoder, headers), 1000)->headers, headers);
}

TEST(Hpack, RefusesMalformedBlocks) {
  const std::vector<std::vector<unsigned char>> blocks = {
      {0x80},                    // index 0
      {0xff, 0xff, 0xff, 0xff},  // an index past every table, and unfinished
      {0x40, 0x05, 'a'},         // a name cut short
      {0x3f, 0xff, 0xff, 0x7f},  // a table larger than allowed
  };

  for (const auto& block : blocks) {
    HpackDecoder decoder;
    EXPECT_FALSE(decoder.decode(std::as_bytes(std::span(block)), 1000)) << static_cast<int>(block[0]);
  }
}

TEST(Hpack, TakesAnEmptyBlock) {
  HpackDecoder decoder;

  const auto decoded = decoder.decode({}, 1000);

  ASSERT_TRUE(decoded);
  EXPECT_TRUE(decoded->headers.empty());
}

}  // namespace
}  // namespace culvert::http
