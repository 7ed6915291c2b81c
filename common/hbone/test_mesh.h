#pragma once
// Two ends of HBONE in one process and on one loop, over real loopback sockets with real TLS, for tests:
//
//   client user <-tcp-> relay <-> Pool ==tcp==> middle ==tcp==> serve() <-> relay <-tcp-> server user
//
// The middle is a plain TCP relay that a test can freeze or cut.

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/hbone/pool.h"
#include "common/hbone/server.h"
#include "common/net/dial.h"
#include "common/net/event.h"
#include "common/net/listener.h"
#include "common/net/timer.h"
#include "common/tls/authority.h"

namespace culvert::hbone {

template <class T>
T need(Result<T> result) {
  if (!result) check_failed(result.error().text.c_str(), __FILE__, __LINE__);
  return std::move(*result);
}

inline Identity workload(std::string account) { return {"cluster.local", "default", std::move(account)}; }

class TestMesh {
 public:
  struct Options {
    TunnelOptions client = {.engine = {.max_header_list = 16 * 1024}};
    TunnelOptions server = {};
    std::chrono::milliseconds connect_timeout{2'000};
    std::chrono::milliseconds answer_timeout{30'000};
    std::chrono::milliseconds idle_close{300'000};
  };
  // Both users of one connection, and what the relays said; `done` counts relays that returned.
  struct Connection {
    net::Stream client;
    net::Stream server;
    Relayed client_end;
    Relayed server_end;
    Stopper client_stopper;
    Stopper server_stopper;
    int done = 0;
  };

  TestMesh() : TestMesh(Options{}) {}
  explicit TestMesh(const Options& options)
      : options_(options),
        authority_(need(tls::Authority::make_root("cluster.local"))),
        client_tls_(context("client")),
        server_tls_(context("server")),
        pool_(std::make_unique<Pool>(loop_,
                                     PoolOptions{.tunnel = options_.client,
                                                 .connect_timeout = options_.connect_timeout,
                                                 .answer_timeout = options_.answer_timeout,
                                                 .idle_close = options_.idle_close},
                                     [this](const PoolKey& key) { return plan(key); })),
        apps_(listen()),
        port_(listen()),
        middle_(listen()) {
    loop_.spawn(accept_tunnels(this));
    loop_.spawn(accept_middle(this));
  }

  void run(net::Task<> task) { loop_.run(std::move(task)); }
  net::Loop& loop() { return loop_; }
  Pool& pool() { return *pool_; }

  PoolKey key() const {
    return {.source = workload("client"), .expect = expect, .to = middle_.local(), .from = middle_.local().address};
  }
  static ConnectRequest request(std::string target = "10.0.0.1:80") {
    return {.authority = need(Authority::parse(target)), .baggage = "k8s.cluster.name=c"};
  }

  // What the server does with a CONNECT: a relay to a new server user (the default), or this.
  Handler handler;
  std::function<bool(const Identity&)> established;  // of ServeOptions
  std::vector<Identity> expect = {workload("server")};
  std::vector<std::shared_ptr<ServerControl>> controls;  // of each tunnel that was accepted
  std::vector<Status> served;                            // of each that ended

  tls::Context context(std::string account) {
    return need(tls::Context::mesh(need(authority_.make_workload(workload(std::move(account)), std::chrono::hours(1))), roots()));
  }
  tls::Roots roots() { return tls::Roots({authority_.certificate()}); }
  std::optional<tls::Context> dial_with;  // instead of the client's

  // A whole connection.
  net::Task<std::shared_ptr<Connection>> connect() {
    auto connection = std::make_shared<Connection>();
    auto stream = co_await pool_->open(key(), request());
    if (!stream) check_failed(stream.error().text.c_str(), __FILE__, __LINE__);
    while (accepted_.empty()) co_await changed_.wait();
    auto [server_user, server_stream] = std::move(accepted_.front());
    accepted_.pop_front();
    auto [client_user, client_app] = co_await tcp_pair(this);
    auto [server_app, server_user_end] = std::move(server_user);
    connection->client = std::move(client_user);
    connection->server = std::move(server_user_end);
    connection->client_stopper = stream->stopper();
    connection->server_stopper = server_stream.stopper();
    loop_.spawn(carry(std::move(client_app), *std::move(stream), connection, &connection->client_end));
    loop_.spawn(carry(std::move(server_app), std::move(server_stream), connection, &connection->server_end));
    co_return connection;
  }

  Endpoint server_address() const { return port_.local(); }

  // The middle.
  void cut(bool reset) {
    for (const auto& wire : wires_) {
      reset ? wire->first.reset() : wire->first.close();
      reset ? wire->second.reset() : wire->second.close();
    }
  }
  void freeze() { frozen_ = true; }
  void thaw() { frozen_ = false; }
  void hold_new() { holding_ = true; }  // new connections are taken, and nothing of them passed on

 private:
  using Pair = std::pair<net::Stream, net::Stream>;

  net::Listener listen() { return need(net::Listener::open(loop_, {.at = need(Endpoint::parse("127.0.0.1:0"))})); }

  Result<DialPlan> plan(const PoolKey& key) {
    return DialPlan{.dial = {.to = key.to}, .tls = dial_with ? *dial_with : client_tls_};
  }

  static net::Task<Pair> tcp_pair(TestMesh* self) {
    auto dialled = co_await net::dial(self->loop_, {.to = self->apps_.local()});
    auto accepted = co_await self->apps_.accept();
    co_return Pair(need(std::move(dialled)), need(std::move(accepted)));
  }

  static net::Task<> carry(net::Stream app, TunnelStream stream, std::shared_ptr<Connection> connection, Relayed* out) {
    co_await relay(app, stream, *out);
    ++connection->done;
  }

  static net::Task<> accept_tunnels(TestMesh* self) {
    while (true) {
      auto socket = co_await self->port_.accept();
      if (!socket) co_return;
      self->loop_.spawn(serve_one(self, *std::move(socket)));
    }
  }

  static net::Task<> serve_one(TestMesh* self, net::Stream socket) {
    const auto control = std::make_shared<ServerControl>();
    self->controls.push_back(control);
    auto by = self->handler ? self->handler : [self](Incoming incoming) { return take(self, std::move(incoming)); };
    self->served.push_back(co_await serve(self->loop_, std::move(socket), self->server_tls_,
                                          {.tunnel = self->options_.server, .control = control, .established = self->established},
                                          std::move(by)));
  }

  static net::Task<> take(TestMesh* self, Incoming incoming) {
    auto user = co_await tcp_pair(self);
    if (incoming.gone()) co_return;
    self->accepted_.emplace_back(std::move(user), incoming.accept("k8s.cluster.name=s"));
    self->changed_.notify_all();
  }

  static net::Task<> accept_middle(TestMesh* self) {
    while (true) {
      auto from = co_await self->middle_.accept();
      if (!from) co_return;
      if (self->holding_) {
        self->held_.push_back(need(std::move(from)));
        continue;
      }
      auto to = co_await net::dial(self->loop_, {.to = self->port_.local()});
      const auto wire = std::make_shared<Pair>(need(std::move(from)), need(std::move(to)));
      self->wires_.push_back(wire);
      self->loop_.spawn(pump(self, wire, &wire->first, &wire->second));
      self->loop_.spawn(pump(self, wire, &wire->second, &wire->first));
    }
  }

  static net::Task<> pump(TestMesh* self, std::shared_ptr<Pair> /*holds both*/, net::Stream* from, net::Stream* to) {
    std::vector<std::byte> buffer(256 * 1024);
    while (true) {
      const auto io = co_await from->read(buffer);
      while (self->frozen_) co_await net::sleep_for(self->loop_, std::chrono::milliseconds(10));
      if (io.state == net::Io::kEof) {
        to->shutdown_write();
        co_return;
      }
      if (!io.ok() || !(co_await to->write_all(std::span(buffer).first(io.bytes))).ok()) {
        to->reset();
        co_return;
      }
    }
  }

  const Options options_;
  net::Loop loop_;
  tls::Authority authority_;
  tls::Context client_tls_;
  tls::Context server_tls_;
  std::unique_ptr<Pool> pool_;
  net::Listener apps_;
  net::Listener port_;
  net::Listener middle_;
  net::Event changed_{loop_};
  std::deque<std::pair<Pair, TunnelStream>> accepted_;
  std::vector<std::shared_ptr<Pair>> wires_;
  std::vector<net::Stream> held_;
  bool frozen_ = false;
  bool holding_ = false;
};

// --- what users of a connection do ---------------------------------------------------------------------------------

inline std::span<const std::byte> octets(std::string_view text) { return std::as_bytes(std::span(text)); }

// Everything until the end, and how it ended.
struct Heard {
  std::string text;
  net::Io::State end = net::Io::kOk;
};

inline net::Task<Heard> hear(net::Stream& stream) {
  Heard heard;
  std::vector<std::byte> buffer(64 * 1024);
  while (true) {
    const net::Io io = co_await stream.read(buffer);
    if (!io.ok()) {
      heard.end = io.state;
      co_return heard;
    }
    heard.text.append(reinterpret_cast<const char*>(buffer.data()), io.bytes);
  }
}

inline net::Task<std::string> hear_some(net::Stream& stream, std::size_t count) {
  std::string text(count, '\0');
  for (std::size_t at = 0; at < count;) {
    const net::Io io = co_await stream.read(std::as_writable_bytes(std::span(text)).subspan(at));
    if (!io.ok()) co_return text.substr(0, at);
    at += io.bytes;
  }
  co_return text;
}

// Waits until `condition` holds, for at most two seconds.
template <class Condition>
net::Task<bool> soon(net::Loop& loop, Condition condition) {
  for (int i = 0; i < 400 && !condition(); ++i) co_await net::sleep_for(loop, std::chrono::milliseconds(5));
  co_return condition();
}

// A round trip through the connection.
inline net::Task<bool> answers(TestMesh::Connection& connection) {
  std::ignore = co_await connection.client.write_all(octets("ping"));
  const std::string question = co_await hear_some(connection.server, 4);
  std::ignore = co_await connection.server.write_all(octets("pong"));
  const std::string answer = co_await hear_some(connection.client, 4);
  co_return question == "ping" && answer == "pong";
}

}  // namespace culvert::hbone
