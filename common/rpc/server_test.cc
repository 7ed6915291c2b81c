#include "common/rpc/server.h"

#include <gmock/gmock.h>

#include "common/rpc/test_world.h"

namespace culvert::rpc {
namespace {

using testing::HasSubstr;

TEST(PeerText, IsAnEndpoint) {
  EXPECT_EQ(endpoint_of("ipv4:10.0.0.1:40000")->text(), "10.0.0.1:40000");
  EXPECT_EQ(endpoint_of("ipv6:%5Bfd00::1%5D:40000")->text(), "[fd00::1]:40000");
  EXPECT_EQ(endpoint_of("ipv6:[fd00::1]:40000")->text(), "[fd00::1]:40000");
  for (const char* other : {"", "unix:", "unix:/run/x", "ipv4:", "10.0.0.1"}) EXPECT_FALSE(endpoint_of(other)) << other;
}

// The door knows a connection by the kernel's address, gRPC its calls by a text.
TEST_F(World, CallsAreToldByTheirConnectionInBothFamilies) {
  on_call = [](CallRef call) { call->finish({0, ""}); };
  auto both = CallServer::start(
      loop, {.address = "[::]:0", .certificate_file = certificates().certificate("ca"), .key_file = certificates().key("ca")},
      [this](CallRef call) { calls.push_back(call), on_call(call); });
  ASSERT_TRUE(both) << both.error().text;
  const auto called = [&](const std::string& host) {
    Server to{.address = host + ":" + std::to_string((*both)->port()),
              .roots_pem = slurp(certificates().certificate("ca")),
              .name = "localhost"};
    const Channel channel = connected(to);
    Heard heard;
    const Stream stream(loop, channel, "/a.B/C", {}, heard.events());
    until([&] { return heard.ended.has_value(); });
    EXPECT_TRUE(heard.ended->ok()) << heard.ended->describe();
    return calls.empty() ? "" : calls.back()->peer();
  };

  EXPECT_THAT(called("127.0.0.1"), HasSubstr("ipv4:127.0.0.1:"));
  EXPECT_THAT(called("[::1]"), HasSubstr("::1"));
}

TEST_F(World, AnAddressThatIsTakenIsSaid) {
  const auto second = CallServer::start(loop,
                                        {.address = "127.0.0.1:" + std::to_string(server->port()),
                                         .certificate_file = certificates().certificate("ca"),
                                         .key_file = certificates().key("ca")},
                                        [](const CallRef&) {});

  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().text, HasSubstr("Address already in use"));
}

}  // namespace
}  // namespace culvert::rpc
