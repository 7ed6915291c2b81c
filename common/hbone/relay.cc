// The life of one connection between an application and a stream.
//
//   up    application -> stream: reads only what the stream's window and the tunnel's output allow
//   down  stream -> application: the tunnel's read hands bytes straight to the socket (take); this coroutine writes what did not
//         fit, and passes on the end
//   watch notices a reset of the application while nothing is read from it; begun when that happens for the first time
//
// A reset of the application becomes RST_STREAM only after its last readable byte was sent, and one of the stream becomes RST
// only after the bytes before it were written, as far as the reader goes along.
#include <algorithm>
#include <optional>

#include "common/hbone/tunnel_life.h"

namespace culvert::hbone {

namespace {
constexpr std::chrono::milliseconds kLastBytes{1'000};  // for an application to read what came before a reset
constexpr std::chrono::milliseconds kUrgentPause{100};  // between looks while urgent data keeps waking us
}  // namespace

class Carrier final : public Receiver {
 public:
  Carrier(net::Stream& app, TunnelStream& stream, Relayed& out)
      : app_(app), state_(stream.state_), tunnel_(*state_->tunnel), out_(out) {
    state_->receiver = this;
  }
  ~Carrier() { state_->receiver = nullptr; }
  Carrier(const Carrier&) = delete;
  Carrier& operator=(const Carrier&) = delete;

  net::Task<> up();
  net::Task<> down();

  std::size_t take(std::span<const iovec> parts) override;
  void over() override;

 private:
  void mind_resets();
  net::Task<> watch();
  bool send_what_came(const net::Io& io, std::span<const std::byte> bytes);
  void app_is_gone(Reason reason, std::string text);
  void conclude(Reason reason, std::string text);

  net::Stream& app_;
  const std::shared_ptr<StreamState> state_;
  Tunnel& tunnel_;
  Relayed& out_;
  std::optional<net::Timer> patience_;
  net::Task<> watching_;
  bool up_done_ = false;
  bool broken_ = false;  // the application's connection was reset
  bool deaf_ = false;    // the application takes no more bytes: what comes is thrown away
};

// --- application -> stream ---------------------------------------------------------------------------------------

net::Task<> Carrier::up() {
  net::Loop& loop = tunnel_.loop();
  while (!state_->over) {
    const std::size_t window = tunnel_.window(*state_);
    if (window == 0) {
      if (broken_) co_return app_is_gone(Reason::kPeerReset, "the application reset the connection");
      mind_resets();
      co_await state_->room.wait();
      continue;
    }
    if (tunnel_.output_full()) {
      mind_resets();
      co_await tunnel_.output_room().wait();
      continue;
    }
    const auto scratch = loop.scratch().first(std::min(window, tunnel_.quantum()));
    const net::Io io = app_.try_read(scratch);
    if (io.state == net::Io::kWouldBlock) {
      if (!co_await app_.readable()) co_return;
      continue;
    }
    if (!send_what_came(io, scratch)) co_return;
    if (io.bytes == scratch.size()) {
      if (tunnel_.stream_count() > 1) co_await loop.yield();  // others first
    } else if (!co_await app_.readable()) {
      co_return;
    }
  }
}

// False when nothing more comes.
bool Carrier::send_what_came(const net::Io& io, std::span<const std::byte> bytes) {
  if (io.ok()) {
    out_.sent += io.bytes;
    tunnel_.send(*state_, bytes.first(io.bytes));
    return true;
  }
  if (io.state == net::Io::kEof) {
    up_done_ = true;
    tunnel_.finish(*state_);
    state_->arrived.notify_all();
  } else {
    app_is_gone(Reason::kPeerReset, "the application reset the connection");
  }
  return false;
}

void Carrier::app_is_gone(Reason reason, std::string text) {
  conclude(reason, text);
  tunnel_.reset(*state_, ErrorCode::kConnectError, reason, std::move(text));
  app_.close();
}

void Carrier::mind_resets() {
  if (watching_) return;
  watching_ = watch();
  watching_.start();
}

net::Task<> Carrier::watch() {
  while (true) {
    if (!co_await app_.broken()) co_return;
    if (state_->finished()) co_return;
    if (!app_.check().ok()) break;
    // Urgent data wakes us as well, until it is read; so do two ends in good order with bytes still on their way.
    co_await net::sleep_for(tunnel_.loop(), kUrgentPause);
  }
  broken_ = true;
  // Up reads what is left and finds the reset. Unless it has ended, or waits for a reader that takes nothing: what is left would
  // not have reached that one either.
  if (up_done_ || tunnel_.window(*state_) == 0) app_is_gone(Reason::kPeerReset, "the application reset the connection");
}

// --- stream -> application ---------------------------------------------------------------------------------------

std::size_t Carrier::take(std::span<const iovec> parts) {
  std::size_t all = 0;
  for (const iovec& part : parts) all += part.iov_len;
  if (deaf_) return all;
  const net::Io io = app_.try_writev(parts);
  if (io.state == net::Io::kWouldBlock) return 0;
  if (!io.ok()) {
    deaf_ = true;
    state_->arrived.notify_all();  // down ends it
    return all;
  }
  out_.received += io.bytes;
  return io.bytes;
}

net::Task<> Carrier::down() {
  while (true) {
    if (deaf_) {
      // Bytes of the application that came before its reset are still to be sent: up does that, unless it has ended.
      if (up_done_) app_is_gone(Reason::kPeerReset, "the application reset the connection");
      const std::size_t rest = state_->inbox.size();
      state_->inbox.drop(rest);
      tunnel_.consumed(*state_, rest);
      co_return;
    } else if (!state_->inbox.empty()) {
      const auto bytes = state_->inbox.front();
      const iovec part = {.iov_base = const_cast<std::byte*>(bytes.data()), .iov_len = bytes.size()};
      const std::size_t taken = take({&part, 1});
      if (taken == 0) {
        if (!co_await app_.writable()) co_return;
        continue;
      }
      state_->inbox.drop(taken);
      tunnel_.consumed(*state_, taken);
    } else if (state_->over) {
      conclude(state_->reason, state_->text);
      co_return co_await app_.reset_after_sending(kLastBytes);
    } else if (state_->remote_end && up_done_) {
      co_return app_.shutdown_write();
    } else {
      if (state_->remote_end) app_.shutdown_write();
      if (up_done_) mind_resets();
      co_await state_->arrived.wait();
    }
  }
}

// Called while the tunnel reads. Down does the work; an application that does not read gets a last moment for what came before.
void Carrier::over() {
  const bool lost_its_right = state_->reason != Reason::kPeerReset && state_->reason != Reason::kTunnelLost;
  const auto patience = lost_its_right ? net::Clock::duration::zero() : net::Clock::duration(kLastBytes);
  patience_.emplace(tunnel_.loop()).arm(patience, [this] {
    conclude(state_->reason, state_->text);
    app_.reset();
  });
}

void Carrier::conclude(Reason reason, std::string text) {
  if (out_.reason != Reason::kNone) return;
  out_.reason = reason;
  out_.text = std::move(text);
}

net::Task<> relay(net::Stream& app, TunnelStream& stream, Relayed& out) {
  Carrier carrier(app, stream, out);
  if (stream.state_->over) carrier.over();
  co_await net::both(carrier.up(), carrier.down());
  if (!stream.state_->finished()) stream.reset();  // the socket was closed from elsewhere
  if (out.reason == Reason::kNone && stream.state_->over) {
    out.reason = stream.state_->reason;
    out.text = stream.state_->text;
  }
}

}  // namespace culvert::hbone
