#include "common/tls/stream.h"

#include "common/net/timer.h"

namespace culvert::tls {

net::Task<Result<Stream>> Stream::open(net::Stream socket, Session session, std::chrono::milliseconds timeout) {
  Stream stream(std::move(socket), std::move(session));
  const std::string doing = "TLS with " + stream.socket_.peer().text();
  bool late = false;
  net::Timer timer(stream.socket_.loop());
  timer.arm(timeout, [&] {
    late = true;
    stream.socket_.close();
  });
  for (;;) {
    const net::Io sent = co_await stream.flush();  // also the alert of a handshake that failed
    if (stream.session_.state() == Session::State::kFailed)
      co_return std::unexpected(Error(stream.session_.error()).during(doing));
    if (stream.session_.established()) co_return stream;
    const auto buffer = stream.socket_.loop().scratch();
    net::Io io = sent;
    if (io.ok()) io = co_await stream.socket_.read(buffer);
    if (late) co_return failure(doing + ": no answer within " + std::to_string(timeout.count()) + "ms", Reason::kTlsFailure);
    if (!io.ok()) co_return failure(doing + ": " + io.text() + " during the handshake", Reason::kTlsFailure);
    stream.session_.feed(buffer.first(io.bytes));
    stream.session_.keep();
  }
}

net::Task<net::Io> Stream::flush() {
  while (!session_.output().empty()) {
    const net::Io io = co_await socket_.write_all(session_.output());
    session_.sent(io.bytes);
    if (!io.ok()) co_return io;
  }
  co_return net::Io{};
}

net::Task<net::Io> Stream::read(std::span<std::byte> into) {
  for (;;) {
    net::Io io = session_.read(into);
    if (io.state != net::Io::kWouldBlock) {
      std::ignore = co_await flush();  // an alert, or the answer to a KeyUpdate
      co_return io;
    }
    const auto buffer = socket_.loop().scratch();
    io = co_await socket_.read(buffer);
    if (io.state == net::Io::kEof) co_return net::Io{.state = net::Io::kReset, .error = ECONNRESET};  // no close_notify: cut
    if (!io.ok()) co_return io;
    session_.feed(buffer.first(io.bytes));
    session_.keep();
  }
}

net::Task<net::Io> Stream::write_all(std::span<const std::byte> from) {
  if (!session_.write(from)) co_return net::Io{.state = net::Io::kError, .error = EPROTO};
  const net::Io io = co_await flush();
  if (!io.ok()) co_return net::Io{.state = io.state, .error = io.error};
  co_return net::Io{.bytes = from.size()};
}

net::Task<> Stream::shutdown() {
  session_.close();
  std::ignore = co_await flush();
  socket_.shutdown_write();
}

}  // namespace culvert::tls
