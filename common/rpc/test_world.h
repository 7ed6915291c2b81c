#pragma once
// A gRPC server of ours and its certificates on one loop with the test, over real loopback sockets with real TLS, for tests.

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/net/loop.h"
#include "common/net/timer.h"
#include "common/rpc/client.h"
#include "common/rpc/server.h"

namespace culvert::rpc {

inline std::string slurp(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}
inline void spit(const std::string& path, std::string_view text) { std::ofstream(path) << text; }

// A certificate authority and a server's certificate for localhost and 127.0.0.1, made once.
struct Certificates {
  std::string folder;
  Certificates() {
    char pattern[] = "/tmp/culvert-rpc-XXXXXX";
    folder = ::mkdtemp(pattern);
    make("ca", "localhost");
    make("other", "elsewhere.example.com");
  }
  ~Certificates() { std::filesystem::remove_all(folder); }
  // A self-signed certificate is its own root.
  void make(const std::string& name, const std::string& host) const {
    const std::string command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=" + name +
                                " -addext subjectAltName=DNS:" + host + ",IP:127.0.0.1 -keyout " + key(name) + " -out " +
                                certificate(name) + " 2>/dev/null";
    CULVERT_CHECK(std::system(command.c_str()) == 0);
  }
  std::string certificate(const std::string& name) const { return folder + "/" + name + ".pem"; }
  std::string key(const std::string& name) const { return folder + "/" + name + ".key"; }
};
inline const Certificates& certificates() {
  static const Certificates made;
  return made;
}

struct Heard {
  std::vector<std::string> messages;
  std::optional<Ended> ended;
  Stream::Events events() {
    return {[this](std::string message) { messages.push_back(std::move(message)); },
            [this](Ended how) { ended = std::move(how); }};
  }
};

struct World : testing::Test {
  net::Loop loop;
  std::vector<CallRef> calls;
  std::function<void(CallRef)> on_call = [](CallRef) {};
  std::unique_ptr<CallServer> server =
      CallServer::start(
          loop,
          {.address = "127.0.0.1:0", .certificate_file = certificates().certificate("ca"), .key_file = certificates().key("ca")},
          [this](CallRef call) { calls.push_back(call), call->proved("a test"), on_call(call); })
          .value();

  Server trusted(const std::string& host = "localhost") {
    return {
        .address = host + ":" + std::to_string(server->port()), .roots_pem = slurp(certificates().certificate("ca")), .name = ""};
  }
  // A channel whose connection is up. gRPC 1.51 lets other calls overwrite errno between connect() and looking at it, so that once in some
  // hundred times, under a sanitizer, it takes "in progress" for a failure. Those who call it in earnest try again; so does this.
  Channel connected() { return connected(trusted()); }
  Channel connected(const Server& to) {
    for (int attempt = 0;; ++attempt) {
      Channel channel(to);
      const auto handler = std::exchange(on_call, [](const CallRef& call) { call->finish({0, ""}); });
      Heard heard;
      const Stream stream(loop, channel, "/a.B/Hello", {}, heard.events());
      until([&] { return heard.ended.has_value(); });
      on_call = handler;
      calls.clear();
      if (heard.ended->ok() || attempt == 5) return channel;
    }
  }
  // Runs the loop until `done` or the test's patience ends.
  void until(const std::function<bool()>& done) {
    loop.run([](World* world, const std::function<bool()>* enough) -> net::Task<> {
      const auto end = net::Clock::now() + std::chrono::seconds(10);
      while (!(*enough)() && net::Clock::now() < end) co_await net::sleep_for(world->loop, std::chrono::milliseconds(2));
    }(this, &done));
    EXPECT_TRUE(done());
  }
};

}  // namespace culvert::rpc
