// The port of the SPIFFE bundle beside --config-dir: anybody reaches it, and it answers that alone.
#include <gmock/gmock.h>

#include <array>
#include <span>

#include "common/net/dial.h"
#include "common/tls/stream.h"
#include "controlplane/ca/spiffe_bundle.h"
#include "tests/integration/culvertd/fixture.h"
#include "tests/integration/culvertd/raw_client.h"

namespace culvert::test {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

struct BundlePort : CulvertdTest {
  BundlePort() { environment["CULVERT_BUNDLE_PORT"] = std::to_string(bundle_port); }

  static net::Task<Result<std::string>> ask(net::Loop* on, Endpoint to, tls::Context context, std::string request) {
    auto socket = co_await net::dial(*on, {.to = to});
    if (!socket) co_return std::unexpected(socket.error());
    auto stream = co_await tls::Stream::open(std::move(*socket), context.connect("localhost"));
    if (!stream) co_return std::unexpected(stream.error());
    co_await stream->write_all(std::as_bytes(std::span(request)));
    std::string answer;
    std::array<std::byte, 4096> buffer;
    for (net::Io io = co_await stream->read(buffer); io.ok(); io = co_await stream->read(buffer))
      answer.append(reinterpret_cast<const char*>(buffer.data()), io.bytes);
    co_return answer;
  }
  std::string asked(const std::string& method, const std::string& path, const std::string& body = "") {
    const auto context = tls::Context::client(*tls::Roots::parse(server().roots_pem));
    const auto answer =
        loop.run(ask(&loop, {.address = IpAddress::v4(0x7f000001), .port = static_cast<std::uint16_t>(bundle_port)}, *context,
                     method + " " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: " +
                         std::to_string(body.size()) + "\r\n\r\n" + body));
    EXPECT_TRUE(answer) << answer.error().text;
    return answer.value_or("");
  }

  int bundle_port = free_port();
};

TEST_F(BundlePort, AnswersTheBundleAlone) {
  ASSERT_TRUE(start());
  until([&] { return static_cast<bool>(dial(bundle_port, "127.0.0.1")); }, "the port");

  const std::string bundle = asked("GET", controlplane::kBundlePath);
  EXPECT_THAT(bundle, StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(bundle, HasSubstr("x509-svid"));
  EXPECT_THAT(asked("POST", "/validate", R"({"request": {"uid": "1"}})"), StartsWith("HTTP/1.1 404 "))
      << "reviews are for the API server";
  EXPECT_THAT(asked("GET", "/ready"), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(asked("GET", "/"), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(asked("POST", controlplane::kBundlePath), StartsWith("HTTP/1.1 405 "));
}

}  // namespace
}  // namespace culvert::test
