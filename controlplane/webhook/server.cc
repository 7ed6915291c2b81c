#include "controlplane/webhook/server.h"

#include <array>
#include <chrono>
#include <map>
#include <utility>
#include <vector>

#include "common/base/log.h"
#include "common/http/http1.h"
#include "common/net/listener.h"
#include "common/net/timer.h"
#include "common/tls/stream.h"
#include "controlplane/webhook/review.h"

namespace culvert::controlplane {
namespace {

constexpr std::string_view kScope = "webhook";
constexpr auto kIdle = std::chrono::seconds(90);      // between requests
constexpr auto kPatience = std::chrono::seconds(10);  // within one

}  // namespace

struct WebhookServer::State : std::enable_shared_from_this<State> {
  State(net::Loop& its_loop, std::function<tls::Context()> its_context, telemetry::Registry& registry)
      : loop(its_loop),
        context(std::move(its_context)),
        passed(registry.counter("galley_validation_passed", "Objects that were reviewed and are good.")),
        refused(registry.counter("galley_validation_failed", "Objects that were reviewed and refused.")),
        unreadable(registry.counter("galley_validation_http_error", "Requests that are no reviews.")) {}

  static net::Task<> accept_all(std::shared_ptr<State> self);
  static net::Task<> serve(std::shared_ptr<State> self, net::Stream socket);
  http::Response answer(const http::Request& request);

  net::Loop& loop;
  const std::function<tls::Context()> context;
  std::map<std::string, std::function<std::string()>, std::less<>> pages;
  telemetry::Counter& passed;
  telemetry::Counter& refused;
  telemetry::Counter& unreadable;
  net::Listener listener;
  std::size_t connections = 0;
  bool closed = false;
};

net::Task<> WebhookServer::State::accept_all(std::shared_ptr<State> self) {
  while (!self->closed && !self->listener.closed()) {
    auto socket = co_await self->listener.accept();
    if (self->closed) co_return;
    if (!socket) log::warn(kScope, socket.error().text);
    else if (self->connections < kMostConnections) self->loop.spawn(serve(self, std::move(*socket)));
  }
}

net::Task<> WebhookServer::State::serve(std::shared_ptr<State> self, net::Stream socket) {
  struct Counted {
    explicit Counted(State& its_state) : state(its_state) { ++state.connections; }
    ~Counted() { --state.connections; }
    State& state;
  } const counted(*self);
  auto stream = co_await tls::Stream::open(std::move(socket), self->context().accept());
  if (!stream || self->closed) co_return;
  http::RequestReader reader({.body = kMostBytes});
  std::array<std::byte, std::size_t{16} * 1024> buffer;
  std::vector<std::byte> rest;
  net::Timer timer(self->loop);
  for (bool keep = true; keep && !self->closed;) {
    timer.arm(kIdle, [&stream] { stream->socket().close(); });
    while (!reader.complete()) {
      if (rest.empty()) {
        const net::Io io = co_await stream->read(buffer);
        if (!io.ok() || self->closed) co_return;
        rest.assign(buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(io.bytes));
      }
      const bool begun = reader.begun();
      const auto taken = reader.feed(rest);
      if (!taken) co_return;  // who asks is the API server, and it speaks HTTP
      rest.erase(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(*taken));
      if (!begun && reader.begun()) timer.arm(kPatience, [&stream] { stream->socket().close(); });
    }
    const http::Request request = reader.take();
    keep = reader.keep_alive();
    const std::string wire = http::to_wire(self->answer(request), keep);
    timer.arm(kPatience, [&stream] { stream->socket().close(); });
    if (!(co_await stream->write_all(std::as_bytes(std::span(wire)))).ok()) co_return;
  }
  co_await stream->shutdown();
}

http::Response WebhookServer::State::answer(const http::Request& request) {
  if (request.path() == "/ready") return http::text_response(200, "ready\n");
  if (const auto page = pages.find(request.path()); page != pages.end())
    return request.method == "GET" ? http::json_response(page->second()) : http::text_response(405, "use GET\n");
  if (request.path() != "/validate") return http::text_response(404, "not found\n");
  if (request.method != "POST") return http::text_response(405, "use POST\n");
  auto verdict = review(request.body);
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
                                                            telemetry::Registry& registry) {
  auto state = std::make_shared<State>(loop, std::move(context), registry);
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
}

void WebhookServer::on(std::string path, std::function<std::string()> text) { state_->pages[std::move(path)] = std::move(text); }

std::uint16_t WebhookServer::port() const { return state_->listener.local().port; }

}  // namespace culvert::controlplane
