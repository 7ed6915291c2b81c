#include "common/zds/messages.h"

#include <gtest/gtest.h>

namespace culvert::zds {
namespace {

const Pod kPod{.uid = "u1", .name = "web", .name_space = "shop", .service_account = "sa"};

TEST(ZdsMessages, KeepTheFieldNumbersOfIstio) {
  EXPECT_EQ(encode_hello(), std::string("\x08\x01", 2));
  EXPECT_EQ(*encode(Add{kPod}), std::string("\x0a\x15\x0a\x02u1\x12\x0f\x0a\x03web\x12\x04shop\x1a\x02sa", 23));
  EXPECT_EQ(*encode(Del{"u1"}), std::string("\x12\x04\x12\x02u1", 6));
  EXPECT_EQ(*encode(SnapshotSent{}), std::string("\x1a\x00", 2));
  EXPECT_EQ(*encode(Keep{"u1"}), std::string("\x2a\x04\x0a\x02u1", 6));
  EXPECT_EQ(encode_ack(""), std::string("\x0a\x00", 2));
  EXPECT_EQ(encode_ack("no"), std::string("\x0a\x04\x0a\x02no", 6));
}

TEST(ZdsMessages, ComeBackAsTheyWere) {
  EXPECT_EQ(std::get<Add>(*decode_request(*encode(Add{kPod}))).pod, kPod);
  EXPECT_EQ(std::get<Del>(*decode_request(*encode(Del{"u1"}))).uid, "u1");
  EXPECT_EQ(std::get<Keep>(*decode_request(*encode(Keep{"u1"}))).uid, "u1");
  EXPECT_TRUE(std::holds_alternative<SnapshotSent>(*decode_request(*encode(SnapshotSent{}))));
  EXPECT_EQ(*decode_ack(encode_ack("no")), "no");
}

TEST(ZdsMessages, RefuseWhatIsNoneOfThem) {
  EXPECT_FALSE(decode_request(""));
  EXPECT_FALSE(decode_request("\xff\xff"));
  EXPECT_FALSE(decode_request(std::string("\x22\x00", 2)));  // a payload of number 4
  EXPECT_FALSE(decode_request(std::string(kMaxPacket + 1, '\0')));
  EXPECT_FALSE(decode_ack(""));
  EXPECT_FALSE(decode_hello(""));
  EXPECT_FALSE(decode_hello(std::string("\x08\x02", 2)));
}

TEST(ZdsMessages, NeverOutgrowAPacket) {
  EXPECT_FALSE(encode(Del{std::string(2000, 'u')}));
  const auto ack = encode_ack(std::string(1007, 'x') + "\u00e4\u00e4");
  EXPECT_LE(ack.size(), kMaxPacket);
  EXPECT_EQ(*decode_ack(ack), std::string(1007, 'x'));  // cut before the character that does not fit
}

}  // namespace
}  // namespace culvert::zds
