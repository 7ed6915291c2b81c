#include "tests/bench/plane.h"

#include <optional>
#include <utility>

#include "common/net/dial.h"
#include "common/net/event.h"
#include "common/net/stream.h"
#include "common/rpc/message.h"

namespace culvert::bench {
namespace {

constexpr std::size_t kEnough = 128 * 1024;

std::span<std::byte> scratch() {
  thread_local std::array<std::byte, 64 * 1024> memory;
  return memory;
}

}  // namespace

struct Plane::State final : http::Http2::Events, std::enable_shared_from_this<State> {
  State(net::Loop& its_loop, tls::Session its_session, const Endpoint& at, Plane::Events its_events)
      : loop(its_loop), session(std::move(its_session)), server(at), events(std::move(its_events)), wanted(its_loop) {}

  static net::Task<> live(std::shared_ptr<State> self);
  static net::Task<> writing(std::shared_ptr<State> self);
  void end(std::string how);
  bool take(std::span<const std::byte> received);

  void on_headers(http::Http2::StreamId, http::HeaderList headers) override {
    for (const auto& field : headers)
      if (field.name == "grpc-status" || field.name == "grpc-message") why += field.name + " " + field.value + " ";
  }
  void on_data(http::Http2::StreamId stream, std::span<const std::byte> bytes) override {
    const std::size_t size = bytes.size();
    for (auto step = reader.take(bytes); step != rpc::MessageReader::Step::kMore; step = reader.take(bytes))
      if (step == rpc::MessageReader::Step::kMessage) messages.push_back(reader.message());
    http.credit(stream, size);
  }
  void on_end(http::Http2::StreamId) override { over = true; }
  void on_sent(http::Http2::StreamId) override {}
  void on_closed(http::Http2::StreamId, std::uint32_t) override { over = true; }

  net::Loop& loop;
  tls::Session session;
  const Endpoint server;
  Plane::Events events;
  net::Stream socket;
  net::Event wanted;
  http::Http2 http{http::Http2::Role::kClient, {}, *this};
  http::Http2::StreamId stream = 0;
  rpc::MessageReader reader;
  std::vector<std::string> messages;
  std::string why;
  bool over = false;  // the call
  bool gone = false;  // nobody wants to hear of it
};

void Plane::State::end(std::string how) {
  socket.close();
  wanted.notify_all();
  if (std::exchange(gone, true)) return;
  const auto told = std::move(events.on_end);
  events = {};
  told(why.empty() ? std::move(how) : why);
}

bool Plane::State::take(std::span<const std::byte> received) {
  session.feed(received);
  if (session.state() == tls::Session::State::kHandshake) return session.keep(), true;
  for (;;) {
    const net::Io io = session.read(scratch());
    if (io.state == net::Io::kWouldBlock) return true;
    if (!io.ok() || !http.receive(scratch().first(io.bytes))) return false;
  }
}

net::Task<> Plane::State::live(std::shared_ptr<State> self) {
  auto dialled = co_await net::dial(self->loop, {.to = self->server});
  if (self->gone) co_return;
  if (!dialled) co_return self->end(dialled.error().text);
  self->socket = std::move(*dialled);
  self->loop.spawn(writing(self));
  while (self->socket && co_await self->socket.readable()) {
    const auto memory = self->loop.scratch();
    const net::Io io = self->socket.try_read(memory);
    if (io.state == net::Io::kWouldBlock) continue;
    if (!io.ok()) co_return self->end(io.text());
    if (!self->take(memory.first(io.bytes))) co_return self->end("broken");
    for (std::string& message : std::exchange(self->messages, {}))
      if (!self->gone) self->events.on_message(std::move(message));
    if (self->over) co_return self->end("the end");
    self->wanted.notify_all();
  }
  self->end("closed");
}

net::Task<> Plane::State::writing(std::shared_ptr<State> self) {
  std::vector<std::byte> frames;
  while (self->socket) {
    while (self->session.established() && self->http.has_output() && self->session.output().size() < kEnough) {
      frames.clear();
      if (!self->http.output(frames, kEnough) || frames.empty() || !self->session.write(frames)) break;
    }
    if (self->session.output().empty()) {
      frames = {};
      co_await self->wanted.wait();
      continue;
    }
    const net::Io io = self->socket.try_write(self->session.output());
    if (!io.ok() && io.state != net::Io::kWouldBlock) break;
    self->session.sent(io.bytes);
    if (!self->session.output().empty() && !co_await self->socket.writable()) break;
  }
  self->socket.close();
}

Plane::Plane(net::Loop& loop, const tls::Context& tls, const Endpoint& server, const std::string& path,
             const http::HeaderList& headers, Events events)
    : state_(std::make_shared<State>(loop, tls.connect("localhost"), server, std::move(events))) {
  http::HeaderList request = {{.name = ":method", .value = "POST"},
                              {.name = ":scheme", .value = "https"},
                              {.name = ":path", .value = path},
                              {.name = ":authority", .value = "localhost"},
                              {.name = "content-type", .value = "application/grpc"},
                              {.name = "te", .value = "trailers"}};
  request.insert(request.end(), headers.begin(), headers.end());
  state_->stream = state_->http.request(request);
  loop.spawn(State::live(state_));
}

Plane::~Plane() {
  state_->gone = true;
  state_->events = {};
  state_->socket.close();
  state_->wanted.notify_all();
}

void Plane::send(http::Http2::Pieces message) {
  std::size_t size = 0;
  for (const auto& piece : message) size += piece->size();
  message.insert(message.begin(), std::make_shared<const std::string>(rpc::prefix_of(size)));
  state_->http.send(state_->stream, std::move(message));
  state_->wanted.notify_all();
}

}  // namespace culvert::bench
