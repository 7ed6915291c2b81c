#include "common/net/relay.h"

#include <vector>

namespace culvert::net {
namespace {

// After this much from one side without a wait, everybody else on the loop has a turn.
constexpr std::uint64_t kBytesATurn = 1024 * 1024;
// How long a reset waits for the bytes before it to reach the other side.
constexpr auto kResetPatience = std::chrono::seconds(2);
// When this much waits on this thread for readers that take nothing, the others are read in small pieces: thousands of stalled readers cost
// each their sockets' memory and next to none of ours.
constexpr std::size_t kMostHeld = 16 * 1024 * 1024;
constexpr std::size_t kSmallRead = 4 * 1024;
thread_local std::size_t held_here = 0;

// Bytes that wait for a reader, counted while they do.
class Held {
 public:
  explicit Held(std::span<const std::byte> bytes) : bytes_(bytes.begin(), bytes.end()) { held_here += bytes_.size(); }
  ~Held() { held_here -= bytes_.size(); }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  const std::vector<std::byte> bytes_;
};

struct Pair {
  Relayed& out;
  int open = 2;  // directions

  // One side is gone: so is the other.
  void cut(const Io& why, Stream& a, Stream& b) {
    if (why.state == Io::kError && why.error == ECANCELED) return close(a, b);  // closed from elsewhere
    if (out.reason == Reason::kNone) out.reason = Reason::kPeerReset;
    close(a, b);
  }
  static void close(Stream& a, Stream& b) {
    a.reset();
    b.reset();
  }
};

// Writes all of scratch's bytes; what the kernel does not take at once waits in a buffer of its own.
Task<Io> deliver(Stream& to, std::span<const std::byte> bytes) {
  const Io io = to.try_write(bytes);
  if (io.ok() && io.bytes == bytes.size()) co_return io;
  if (!io.ok() && io.state != Io::kWouldBlock) co_return io;
  const Held rest(bytes.subspan(io.bytes));
  Io last = co_await to.write_all(rest.bytes());
  last.bytes += io.bytes;
  co_return last;
}

// The other direction goes on: notice when `from` is reset although nothing is read from it any more.
Task<> watch(Stream& from, Stream& to, Pair& pair) {
  --pair.open;
  if (pair.open == 0 || !co_await from.broken() || pair.open == 0) co_return;
  if (const Io io = from.check(); !io.ok()) pair.cut(io, from, to);
}

Task<> pump(Stream& from, Stream& to, std::uint64_t& count, Pair& pair) {
  Loop& loop = from.loop();
  for (std::uint64_t turn = 0;;) {
    const auto scratch = held_here < kMostHeld ? loop.scratch() : loop.scratch().first(kSmallRead);
    const Io read = from.try_read(scratch);
    if (read.ok()) {
      const Io written = co_await deliver(to, scratch.first(read.bytes));
      count += written.bytes;
      if (!written.ok()) {
        // What the other side sent before it went away is still to be read: the other direction finds the end, if it runs.
        --pair.open;
        if (pair.open == 0 || written.state != Io::kReset) pair.cut(written, from, to);
        co_return;
      }
      turn += read.bytes;
      if (turn >= kBytesATurn) {
        turn = 0;
        co_await loop.yield();
      }
    } else if (read.state == Io::kWouldBlock) {
      turn = 0;
      std::ignore = co_await from.readable();
    } else if (read.state == Io::kEof) {
      to.shutdown_write();
      co_return co_await watch(from, to, pair);
    } else {
      if (read.state == Io::kReset) co_await to.reset_after_sending(kResetPatience);
      co_return pair.cut(read, from, to);
    }
  }
}

}  // namespace

Task<> relay(Stream& a, Stream& b, Relayed& out) {
  Pair pair{.out = out};
  co_await both(pump(a, b, out.a_to_b, pair), pump(b, a, out.b_to_a, pair));
}

}  // namespace culvert::net
