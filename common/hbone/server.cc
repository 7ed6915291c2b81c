#include "common/hbone/server.h"

#include <utility>

#include "common/base/format.h"
#include "common/hbone/tunnel_life.h"

namespace culvert::hbone {

// What serve() and its handlers share.
struct ServerEnd : std::enable_shared_from_this<ServerEnd> {
  ServerEnd(std::shared_ptr<Tunnel> of, Handler by) : tunnel(std::move(of)), handler(std::move(by)), idle(tunnel->loop()) {}

  void on_request(std::shared_ptr<StreamState> stream, const http::HeaderList& headers);
  static net::Task<> answer(std::shared_ptr<ServerEnd> self, Incoming incoming);
  static void tell(ServerControl& control, const std::shared_ptr<Tunnel>& tunnel);

  const std::shared_ptr<Tunnel> tunnel;
  const Handler handler;
  std::size_t running = 0;
  net::Event idle;  // a handler returned
};

void ServerEnd::on_request(std::shared_ptr<StreamState> stream, const http::HeaderList& headers) {
  // A handler may outlive its stream (it dials when the peer gives up): such streams count, or resets would buy more than the limit.
  if (running >= 2 * tunnel->options().engine.max_streams)
    return tunnel->reset(*stream, ErrorCode::kRefusedStream, Reason::kInternal, "too many requests under way");
  auto request = ConnectRequest::parse(headers);
  if (!request) return tunnel->refuse_nonsense(*stream);
  const auto& backlog = tunnel->options().backlog;
  if (backlog && !backlog->has_room(request->held()))
    return tunnel->reset(*stream, ErrorCode::kEnhanceYourCalm, Reason::kInternal, "too many requests wait for their answers");
  Charge charge(backlog);
  charge.set(request->held());
  tunnel->loop().spawn(answer(shared_from_this(), Incoming(std::move(stream), *std::move(request), std::move(charge))));
}

net::Task<> ServerEnd::answer(std::shared_ptr<ServerEnd> self, Incoming incoming) {
  ++self->running;
  co_await self->handler(std::move(incoming));
  --self->running;
  self->idle.notify_all();
}

void ServerEnd::tell(ServerControl& control, const std::shared_ptr<Tunnel>& tunnel) {
  control.tunnel_ = tunnel;
  control.early_ = nullptr;
  if (control.closed_) tunnel->close(*control.closed_, "ended from outside");
  if (control.draining_) tunnel->drain();
}

void ServerControl::drain() {
  draining_ = true;
  if (const auto tunnel = tunnel_.lock()) tunnel->drain();
}

void ServerControl::close(Reason reason) {
  closed_ = reason;
  if (early_) early_();
  if (const auto tunnel = tunnel_.lock()) tunnel->close(reason, "ended from outside");
}

bool ServerControl::idle() const {
  const auto tunnel = tunnel_.lock();
  return tunnel && !draining_ && !tunnel->over() && tunnel->stream_count() == 0;
}

Incoming::Incoming(std::shared_ptr<StreamState> state, ConnectRequest request, Charge charge)
    : state_(std::move(state)), request_(std::move(request)), charge_(std::move(charge)) {}

Incoming::Incoming(Incoming&&) noexcept = default;

Incoming::~Incoming() {
  if (state_) refuse(503);
}

const ConnectRequest& Incoming::request() const { return request_; }
const Identity& Incoming::peer_identity() const { return *state_->tunnel->peer_identity(); }
Endpoint Incoming::peer() const { return state_->tunnel->peer(); }
Endpoint Incoming::local() const { return state_->tunnel->local(); }
bool Incoming::gone() const { return !state_ || state_->over; }

Stopper Incoming::stopper() const {
  Stopper stopper;
  stopper.state_ = state_;
  return stopper;
}

TunnelStream Incoming::accept(std::string baggage) {
  auto state = answered();
  state->tunnel->respond(*state, ConnectResponse{.status = 200, .baggage = std::move(baggage)}.headers(), false);
  return TunnelStream(std::move(state));
}

// The request would live as long as the stream does.
std::shared_ptr<StreamState> Incoming::answered() {
  request_ = {};
  charge_.set(0);
  return std::exchange(state_, nullptr);
}

void Incoming::refuse(int status) {
  const auto state = answered();
  if (!state->over) state->tunnel->respond(*state, ConnectResponse{.status = status}.headers(), true);
}

net::Task<Status> serve(net::Loop& loop, net::Stream socket, tls::Context tls, ServeOptions options, Handler handler) {
  const auto tunnel = std::make_shared<Tunnel>(loop, std::move(socket), tls.mesh_server(), Engine::Role::kServer, options.tunnel);
  if (options.control) ServerEnd::tell(*options.control, tunnel);
  auto hello = co_await tunnel->shake_hands();
  if (!hello) co_return hello;
  if (tunnel->over()) co_return std::unexpected(tunnel->error());
  if (options.established && !options.established(*tunnel->peer_identity())) {
    tunnel->close(Reason::kInternal,
                  culvert::format("too many tunnels of {} are open to this pod", tunnel->peer_identity()->uri()));
    co_return std::unexpected(tunnel->error());
  }
  const auto end = std::make_shared<ServerEnd>(tunnel, std::move(handler));
  tunnel->on_request([weak = std::weak_ptr(end)](std::shared_ptr<StreamState> stream, const http::HeaderList& headers) {
    if (const auto self = weak.lock()) self->on_request(std::move(stream), headers);
  });
  tunnel->start();
  co_await tunnel->ended().wait();
  while (end->running > 0) co_await end->idle.wait();
  if (tunnel->error().reason == Reason::kNone) co_return Status{};
  co_return std::unexpected(tunnel->error());
}

}  // namespace culvert::hbone
