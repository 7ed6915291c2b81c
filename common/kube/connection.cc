#include "common/kube/connection.h"

#include <sys/socket.h>

#include <cerrno>
#include <tuple>
#include <utility>

#include "common/base/secrets.h"
#include "common/net/dial.h"
#include "common/net/resolve.h"

namespace culvert::kube {
namespace {

// A server that is gone without a word is noticed within half a minute, also by a watch in which nothing happens.
constexpr net::Keepalive kKeepalive = {.idle = std::chrono::seconds(15), .interval = std::chrono::seconds(5), .probes = 3};
constexpr auto kUserTimeout = std::chrono::seconds(30);

}  // namespace

Connection::Connection(tls::Stream stream) : stream_(std::move(stream)), timer_(stream_.socket().loop()) {}

net::Task<Result<std::unique_ptr<Connection>>> Connection::open(net::Loop& loop, Server server, tls::Context context,
                                                                std::chrono::milliseconds timeout) {
  auto addresses = co_await net::resolve(loop, server.host, timeout);
  if (!addresses) co_return std::unexpected(std::move(addresses).error());
  Error last;
  for (const IpAddress& address : *addresses) {
    auto socket = co_await net::dial(loop, {.to = {address, server.port}, .timeout = timeout, .keepalive = kKeepalive});
    if (!socket) {
      last = std::move(socket).error();
      continue;
    }
    std::ignore = socket->set_user_timeout(kUserTimeout);
    auto stream = co_await tls::Stream::open(std::move(*socket), context.connect(server.tls_name), timeout);
    if (stream) co_return std::make_unique<Connection>(std::move(*stream));
    last = std::move(stream).error();
  }
  co_return std::unexpected(std::move(last));
}

void Connection::arm(net::Clock::time_point deadline) {
  timer_.arm(deadline - net::Clock::now(), [this] {
    late_ = true;
    stream_.socket().close();
  });
}

Error Connection::broken(const net::Io& io) {
  const std::string peer = stream_.socket().peer().text();
  if (late_) return {peer + ": no answer in time", Reason::kConnectTimeout};
  if (stream_.session().state() == tls::Session::State::kFailed) return Error(stream_.session().error()).during(peer);
  if (io.state == net::Io::kEof) return {peer + ": closed the connection in the middle of an answer", Reason::kPeerReset};
  return io.failure().during(peer);
}

net::Task<Status> Connection::ask(const http::Request& request, std::string host, net::Clock::time_point deadline) {
  arm(deadline);
  begun_ = ended_ = reusable_ = false;
  status_ = 0;
  headers_ = {};
  pending_.clear();
  reader_.expect(request.method, http::ResponseReader::Body::kPieces);
  std::string wire = http::to_wire(request, host);
  const net::Io sent = co_await stream_.write_all(std::as_bytes(std::span(wire)));
  if (secret_) wipe(wire);
  // A server that refuses a request may say so and close before it has read it all: its answer is worth more than our failure.
  while (!ended_ && status_ == 0) {
    if (auto done = co_await read(deadline); !done) co_return sent.ok() ? done : std::unexpected(broken(sent));
  }
  timer_.cancel();
  co_return Status();
}

// One read, and what it brings.
net::Task<Status> Connection::read(net::Clock::time_point deadline) {
  if (net::Clock::now() >= deadline) late_ = true;
  const net::Io io = late_ ? net::Io{.state = net::Io::kError, .error = ECANCELED} : co_await stream_.read(buffer_);
  if (io.ok()) {
    begun_ = true;
    auto taken = reader_.feed(std::span(buffer_).first(io.bytes));
    if (!taken) co_return std::unexpected(std::move(taken).error().during(stream_.socket().peer().text()));
    if (reader_.switched()) {
      status_ = reader_.status();
      headers_ = reader_.headers();
      pending_.assign(reinterpret_cast<const char*>(buffer_.data()) + *taken, io.bytes - *taken);
      ended_ = true;
      co_return Status();
    }
    const bool surplus = *taken < io.bytes;
    if (surplus && !reader_.complete()) co_return failure(stream_.socket().peer().text() + ": does not speak HTTP/1.1");
    if (reader_.headed() && status_ == 0) {
      status_ = reader_.status();
      headers_ = reader_.headers();
    }
    if (reader_.headed()) take_body();
    if (secret_) wipe(std::span(buffer_));
    if (reader_.complete()) end();
    reusable_ = reusable_ && !surplus;
    co_return Status();
  }
  if (io.state != net::Io::kEof || !begun_ || !reader_.finish() || !reader_.complete()) co_return std::unexpected(broken(io));
  take_body();
  end();
  reusable_ = false;
  co_return Status();
}

void Connection::take_body() {
  std::string piece = reader_.take_body();
  pending_ += piece;
  if (secret_) wipe(piece);
}

void Connection::keep_secret() {
  secret_ = true;
  pending_.reserve(2 * buffer_.size());  // does not grow past what one read brings
}

std::pair<tls::Stream, std::string> Connection::release() { return {std::move(stream_), std::exchange(pending_, {})}; }

Connection::~Connection() {
  if (secret_) wipe(pending_);
}

void Connection::end() {
  std::ignore = reader_.take();
  ended_ = true;
  reusable_ = reader_.keep_alive();
}

net::Task<Result<std::string>> Connection::more(net::Clock::time_point deadline) {
  if (pending_.empty() && !ended_) arm(deadline);
  while (pending_.empty() && !ended_) {
    if (auto done = co_await read(deadline); !done) co_return std::unexpected(std::move(done).error());
  }
  timer_.cancel();
  co_return std::exchange(pending_, {});
}

bool Connection::quiet() {
  std::byte byte;
  const int fd = stream_.socket().fd();
  return fd >= 0 && ::recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

}  // namespace culvert::kube
