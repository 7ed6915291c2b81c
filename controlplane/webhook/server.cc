#include "controlplane/webhook/server.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <utility>
#include <vector>

#include "common/base/log.h"
#include "common/http/http1.h"
#include "common/net/event.h"
#include "common/net/listener.h"
#include "common/net/timer.h"
#include "common/tls/stream.h"
#include "controlplane/webhook/review.h"

namespace culvert::controlplane {
namespace {

constexpr std::string_view kScope = "webhook";
constexpr auto kIdle = std::chrono::seconds(90);  // between requests
constexpr std::chrono::milliseconds kHandshake{5'000};
constexpr auto kPatience = std::chrono::seconds(10);  // within one

}  // namespace

struct WebhookServer::State : std::enable_shared_from_this<State> {
  State(net::Loop& its_loop, std::function<tls::Context()> its_context, const std::optional<Among>& its_among,
        telemetry::Registry& registry)
      : loop(its_loop),
        context(std::move(its_context)),
        among(its_among),
        passed(registry.counter("galley_validation_passed", "Objects that were reviewed and are good.")),
        refused(registry.counter("galley_validation_failed", "Objects that were reviewed and refused.")),
        unreadable(registry.counter("galley_validation_http_error", "Requests that are no reviews.")),
        turned_away(registry.counter("culvert_webhook_turned_away_total",
                                     "Connections to the webhook that were ended for want of room.")),
        reviewed(its_loop) {}

  // One that is served. Whoever erases it ends it, wherever it waits.
  struct Connection {
    Connection(State& its_state, const IpAddress& its_peer) : state(its_state), peer(its_peer) {}
    ~Connection() { let_go(); }
    Connection(const Connection&) = delete;
    void let_go() { state.held -= std::exchange(held, 0); }

    State& state;
    const IpAddress peer;
    net::Clock::time_point since = net::Clock::now();  // it waits for its peer
    std::size_t held = 0;
    net::Task<> life;
  };

  bool make_room(const IpAddress& from);
  bool hold(Connection& connection, std::size_t bytes);
  static net::Task<> accept_all(std::shared_ptr<State> self);
  void take(net::Stream socket);
  static net::Task<> live(State* state, std::uint64_t number, net::Stream socket);
  net::Task<> serve(Connection& connection, net::Stream socket);
  net::Task<http::Response> answer_in_turn(const http::Request& request);
  http::Response answer(const http::Request& request);

  net::Loop& loop;
  const std::function<tls::Context()> context;
  std::map<std::string, std::function<std::string()>, std::less<>> pages;
  const std::optional<Among> among;
  telemetry::Counter& passed;
  telemetry::Counter& refused;
  telemetry::Counter& unreadable;
  telemetry::Counter& turned_away;
  net::Listener listener;
  bool reviewing = false;
  net::Event reviewed;
  std::size_t held = 0;  // bytes of requests that are not answered yet
  std::uint64_t last = 0;
  std::map<std::uint64_t, Connection> connections;  // by a number of their own
  bool closed = false;
};

net::Task<> WebhookServer::State::accept_all(std::shared_ptr<State> self) {
  while (!self->closed && !self->listener.closed()) {
    auto socket = co_await self->listener.accept();
    if (self->closed) co_return;
    if (!socket) log::warn(kScope, socket.error().text);
    else if (self->make_room(socket->peer().address)) self->take(std::move(*socket));
    else self->turned_away.add();
  }
}

// Whoever waits longest for its peer makes room, and of one address not more than that: whoever holds connections open keeps the API server out
// neither by their number nor by their patience.
bool WebhookServer::State::make_room(const IpAddress& from) {
  const auto of_it = std::ranges::count_if(connections, [&](const auto& each) { return each.second.peer == from; });
  if (static_cast<std::size_t>(of_it) >= kMostOfOneAddress) return false;
  if (connections.size() < kMostConnections) return true;
  turned_away.add();
  connections.erase(std::ranges::min_element(connections, {}, [](const auto& each) { return each.second.since; }));
  return true;
}

// Of all that is held at once, whoever holds most goes when it is too much. False when that is the connection itself.
bool WebhookServer::State::hold(Connection& connection, std::size_t bytes) {
  connection.held += bytes;
  held += bytes;
  while (held > kMostHeld) {
    const auto most = std::ranges::max_element(connections, {}, [](const auto& each) { return each.second.held; });
    turned_away.add();
    if (&most->second == &connection) return false;
    connections.erase(most);
  }
  return true;
}

void WebhookServer::State::take(net::Stream socket) {
  Connection& connection = connections.try_emplace(++last, *this, socket.peer().address).first->second;
  connection.life = live(this, last, std::move(socket));
  connection.life.start();
}

net::Task<> WebhookServer::State::live(State* state, std::uint64_t number, net::Stream socket) {
  co_await state->serve(state->connections.at(number), std::move(socket));
  // Not from within itself.
  state->loop.post([weak = state->weak_from_this(), number] {
    if (const auto self = weak.lock()) self->connections.erase(number);
  });
}

net::Task<> WebhookServer::State::serve(Connection& connection, net::Stream socket) {
  auto stream = co_await tls::Stream::open(std::move(socket), context().accept(), kHandshake);
  if (!stream) co_return;
  http::RequestReader reader({.body = kMostBytes});
  std::array<std::byte, std::size_t{16} * 1024> buffer;
  std::vector<std::byte> rest;
  net::Timer timer(loop);
  for (bool keep = true; keep && !closed;) {
    connection.since = net::Clock::now();
    timer.arm(kIdle, [&stream] { stream->socket().close(); });
    while (!reader.complete()) {
      if (rest.empty()) {
        const net::Io io = co_await stream->read(buffer);
        if (!io.ok()) co_return;
        rest.assign(buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(io.bytes));
      }
      const bool begun = reader.begun();
      const auto taken = reader.feed(rest);
      if (!taken) co_return;  // who asks is the API server, and it speaks HTTP
      rest.erase(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(*taken));
      if (!hold(connection, *taken)) co_return;
      if (!begun && reader.begun()) timer.arm(kPatience, [&stream] { stream->socket().close(); });
    }
    const http::Request request = reader.take();
    keep = reader.keep_alive();
    const std::string wire = http::to_wire(co_await answer_in_turn(request), keep);
    connection.let_go();
    timer.arm(kPatience, [&stream] { stream->socket().close(); });
    if (!(co_await stream->write_all(std::as_bytes(std::span(wire)))).ok()) co_return;
  }
  co_await stream->shutdown();
}

// One review at a time, and before each whoever else is ready on this thread: certificates and configuration do not wait for many of them.
net::Task<http::Response> WebhookServer::State::answer_in_turn(const http::Request& request) {
  struct Turn {
    explicit Turn(State& its_state) : state(its_state) { state.reviewing = true; }
    ~Turn() {
      state.reviewing = false;
      state.reviewed.notify_all();
    }
    Turn(const Turn&) = delete;
    State& state;
  };
  while (reviewing) co_await reviewed.wait();
  const Turn turn(*this);
  co_await loop.yield();
  co_return answer(request);
}

http::Response WebhookServer::State::answer(const http::Request& request) {
  if (const auto page = pages.find(request.path()); page != pages.end())
    return request.method == "GET" ? http::json_response(page->second()) : http::text_response(405, "use GET\n");
  if (among && request.path() == "/ready") return http::text_response(200, "ready\n");
  if (!among || request.path() != "/validate") return http::text_response(404, "not found\n");
  if (request.method != "POST") return http::text_response(405, "use POST\n");
  auto verdict = review(request.body, among);
  if (!verdict) {
    unreadable.add();
    return http::text_response(400, verdict.error().text + "\n");
  }
  (verdict->allowed ? passed : refused).add();
  if (!verdict->allowed) log::info(kScope, "refused " + verdict->object + ": " + verdict->why);
  return http::json_response(std::move(verdict->answer));
}

Result<std::unique_ptr<WebhookServer>> WebhookServer::start(net::Loop& loop, std::uint16_t port,
                                                            std::function<tls::Context()> context,
                                                            const std::optional<Among>& among, telemetry::Registry& registry) {
  auto state = std::make_shared<State>(loop, std::move(context), among, registry);
  auto listener = net::Listener::open(loop, {.at = {IpAddress::v6(std::array<std::uint8_t, 16>{}), port, 0}});
  if (!listener) listener = net::Listener::open(loop, {.at = {IpAddress::v4(0), port, 0}});  // IPv6 is off
  if (!listener) return std::unexpected(std::move(listener).error());
  state->listener = std::move(*listener);
  loop.spawn(State::accept_all(state));
  return std::unique_ptr<WebhookServer>(new WebhookServer(std::move(state)));
}

WebhookServer::WebhookServer(std::shared_ptr<State> state) : state_(std::move(state)) {}

WebhookServer::~WebhookServer() {
  state_->closed = true;
  state_->listener.close();
  state_->connections.clear();
}

void WebhookServer::on(std::string path, std::function<std::string()> text) { state_->pages[std::move(path)] = std::move(text); }

std::uint16_t WebhookServer::port() const { return state_->listener.local().port; }

}  // namespace culvert::controlplane
