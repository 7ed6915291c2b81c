#pragma once
// A server of calls (rpc::CallServer) whose bounds a test chooses, and clients of it: gRPC's own, and one that speaks no TLS.

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/net/loop.h"
#include "common/rpc/client.h"
#include "common/rpc/server.h"
#include "common/tls/authority.h"

namespace culvert::test {

inline constexpr int kResourceExhausted = 8;

// How a stream of the client's has ended.
struct Heard {
  std::optional<rpc::Ended> ended;

  rpc::Stream::Events events() {
    return {.on_message = [](const std::string&) {}, .on_end = [this](rpc::Ended how) { ended = std::move(how); }};
  }
};

struct Bounds : testing::Test {
  Bounds();
  ~Bounds() override;

  void start(const std::string& address = "127.0.0.1");
  rpc::Channel channel(const std::string& address = "127.0.0.1");
  // Runs the loop until `done`, for ten seconds at most.
  bool until(const std::function<bool()>& done);
  // A stream that the server has begun. One that gRPC could not connect is tried again.
  std::unique_ptr<rpc::Stream> begun(const rpc::Channel& on, Heard& heard);
  // What a client that speaks `text` and no TLS reads before the server hangs up; nothing when it does not within ten seconds.
  std::optional<std::string> say_raw(std::string_view text);

  const tls::Authority authority = *tls::Authority::make_root("cluster.local");
  std::string folder;
  rpc::ServerOptions options;  // with the server's certificate; what a test changes, it changes before start()
  bool proves = true;          // the server takes each call for that of somebody it knows
  net::Loop loop;
  std::vector<rpc::CallRef> calls;
  std::unique_ptr<rpc::CallServer> server;
};

}  // namespace culvert::test
