#pragma once
// An API server for tests, on loopback and with real TLS, that does what a script says: also what no real one can be made to do.

#include <stdlib.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/base/format.h"
#include "common/http/http1.h"
#include "common/kube/access.h"
#include "common/net/event.h"
#include "common/net/listener.h"
#include "common/net/timer.h"
#include "common/tls/authority.h"
#include "common/tls/stream.h"

namespace culvert::kube {

template <class T>
T need(Result<T> result) {
  if (!result) check_failed(result.error().text.c_str(), __FILE__, __LINE__);
  return std::move(*result);
}

// A folder that goes with the test.
struct Scratch {
  Scratch() {
    char name[] = "/tmp/culvert-kube-XXXXXX";
    folder = ::mkdtemp(name);
  }
  Scratch(const Scratch&) = delete;
  ~Scratch() { std::filesystem::remove_all(folder); }
  std::string write(const std::string& name, std::string_view text) const {
    std::ofstream(folder + "/" + name) << text;
    return folder + "/" + name;
  }
  std::string folder;
};

// What the peer does, one after the other.
struct Step {
  enum class What : std::uint8_t {
    kSend,
    kPause,  // for `pause`
    kWait,   // for Peer::go()
    kCut,    // closes the connection in the middle of things, without a word of TLS
    kClose,  // ends it as TLS wants it
    kHold,   // says nothing more until the client closes
  };
  using enum What;
  What what = kSend;
  std::string bytes = {};
  std::chrono::milliseconds pause{0};
};
using Steps = std::vector<Step>;

inline Step send(std::string bytes) { return {.bytes = std::move(bytes)}; }
inline Step chunk(std::string_view bytes) { return send(culvert::format("{:x}\r\n{}\r\n", bytes.size(), bytes)); }
inline Step chunked(int status = 200) {
  return send(culvert::format("HTTP/1.1 {} X\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n", status));
}
inline Step last_chunk() { return send("0\r\n\r\n"); }
inline Step hold() { return {.what = Step::kHold}; }
inline Step cut() { return {.what = Step::kCut}; }
inline Step wait() { return {.what = Step::kWait}; }
inline Step pause(std::chrono::milliseconds time) { return {.what = Step::kPause, .pause = time}; }
inline Steps answer(int status, std::string body, const std::string& more = "") {
  return {send(culvert::format("HTTP/1.1 {} X\r\nContent-Type: application/json\r\n{}Content-Length: {}\r\n\r\n{}", status, more,
                               body.size(), body))};
}

inline const tls::Authority& peer_authority() {
  static const tls::Authority one = *tls::Authority::make_root("cluster.local");
  return one;
}

class Peer {
 public:
  using Script = std::function<Steps(const http::Request&)>;

  Peer(net::Loop& loop, Script its_script, const std::optional<tls::Roots>& clients = {})
      : script(std::move(its_script)), loop_(loop), going_(loop), context_(make_context(clients)) {
    folder.write("ca.crt", peer_authority().certificate().pem());
    folder.write("token", "secret-1\n");
    folder.write("namespace", "istio-system");
    up();
  }

  void up() {
    listener_ = need(net::Listener::open(loop_, {.at = at_}));
    at_ = listener_.local();
    loop_.spawn(accept(this));
  }
  // Nobody listens, and whoever is connected is cut off.
  void down() {
    listener_.close();
    ++era_;
    going_.notify_all();
  }
  // Wakes those that wait.
  void go() { going_.notify_all(); }

  InCluster in_cluster() const { return {.folder = folder.folder, .host = at_.address.text(), .port = std::to_string(at_.port)}; }
  Access access() const { return need(Access::in_cluster(in_cluster())); }
  const Endpoint& at() const { return at_; }

  Script script;
  Scratch folder;
  std::vector<http::Request> asked;
  int connections = 0;

 private:
  static tls::Context make_context(const std::optional<tls::Roots>& clients) {
    const std::string names[] = {"localhost", "api.test"};
    const IpAddress addresses[] = {*IpAddress::parse("127.0.0.1")};
    const auto pair = need(peer_authority().make_server(names, addresses, std::chrono::hours(1)));
    return need(tls::Context::server(pair, {"http/1.1"}, clients));
  }

  static net::Task<> accept(Peer* peer) {
    for (;;) {
      auto socket = co_await peer->listener_.accept();
      if (!socket) co_return;
      ++peer->connections;
      peer->loop_.spawn(serve(peer, std::move(*socket)));
    }
  }

  static net::Task<> serve(Peer* peer, net::Stream socket) {
    auto stream = co_await tls::Stream::open(std::move(socket), peer->context_.accept());
    if (!stream) co_return;
    const int era = peer->era_;
    std::vector<std::byte> buffer(65536);
    http::RequestReader reader({.body = std::size_t{8} * 1024 * 1024});
    for (;;) {
      while (!reader.complete()) {
        const net::Io io = co_await stream->read(buffer);
        if (!io.ok() || era != peer->era_ || !reader.feed(std::span(buffer).first(io.bytes))) co_return;
      }
      peer->asked.push_back(reader.take());
      for (const Step& step : peer->script(peer->asked.back())) {
        if (step.what == Step::kSend && !(co_await stream->write_all(std::as_bytes(std::span(step.bytes)))).ok()) co_return;
        if (step.what == Step::kPause) co_await net::sleep_for(peer->loop_, step.pause);
        if (step.what == Step::kWait) co_await peer->going_.wait();
        if (step.what == Step::kCut) co_return;
        if (step.what == Step::kClose) co_return co_await stream->shutdown();
        if (step.what == Step::kHold) {
          while ((co_await stream->read(buffer)).ok()) {}
          co_return;
        }
        if (era != peer->era_) co_return;
      }
    }
  }

  net::Loop& loop_;
  net::Event going_;
  tls::Context context_;
  net::Listener listener_;
  Endpoint at_{.address = *IpAddress::parse("127.0.0.1"), .port = 0};
  int era_ = 0;
};

}  // namespace culvert::kube
