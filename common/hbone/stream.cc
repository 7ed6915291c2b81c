// One CONNECT stream: its state and the handle that its user holds.
#include <algorithm>

#include "common/base/check.h"
#include "common/hbone/tunnel_life.h"

namespace culvert::hbone {

namespace {
constexpr std::size_t kSmallPiece = 1024;
constexpr std::size_t kPiece = 64 * 1024;

// Of a piece for `more` bytes that follows one of `last`: no more than half of an inbox lies idle.
std::size_t capacity_after(std::size_t last, std::size_t more) {
  return std::clamp(std::max(more, 2 * last), kSmallPiece, kPiece);
}
}  // namespace

std::span<const std::byte> Inbox::front() const {
  if (!first_) return {};
  return {first_->memory.get() + first_->begin, first_->end - first_->begin};
}

std::size_t Inbox::growth(std::size_t more) const {
  std::size_t last = last_ == nullptr ? 0 : last_->capacity;
  std::size_t room = last_ == nullptr ? 0 : last_->capacity - last_->end;
  std::size_t sum = 0;
  while (more > room) {
    more -= room;
    sum += room = last = capacity_after(last, more);
  }
  return sum;
}

void Inbox::append(std::span<const std::byte> more) {
  size_ += more.size();
  while (!more.empty()) {
    if (last_ == nullptr || last_->end == last_->capacity) {
      auto piece = std::make_unique<Piece>();
      piece->capacity = capacity_after(last_ == nullptr ? 0 : last_->capacity, more.size());
      if (backlog_ != nullptr) backlog_->held += piece->capacity;
      piece->memory = std::make_unique_for_overwrite<std::byte[]>(piece->capacity);
      Piece* const made = piece.get();
      (last_ == nullptr ? first_ : last_->next) = std::move(piece);
      last_ = made;
    }
    const auto part = more.first(std::min(more.size(), last_->capacity - last_->end));
    std::ranges::copy(part, last_->memory.get() + last_->end);
    last_->end += part.size();
    more = more.subspan(part.size());
  }
}

void Inbox::drop(std::size_t count) {
  size_ -= count;
  while (count > 0) {
    const std::size_t taken = std::min(count, first_->end - first_->begin);
    first_->begin += taken;
    count -= taken;
    if (first_->begin < first_->end) return;
    if (backlog_ != nullptr) backlog_->held -= first_->capacity;
    first_ = std::move(first_->next);
    if (!first_) last_ = nullptr;
  }
}

StreamState::StreamState(net::Loop& loop, std::shared_ptr<Tunnel> of, std::uint32_t number)
    : tunnel(std::move(of)), id(number), inbox(tunnel->options().backlog.get()), arrived(loop), room(loop) {}

void StreamState::deliver(std::span<const iovec> parts, bool end) {
  std::size_t taken = receiver != nullptr && inbox.empty() && !parts.empty() ? receiver->take(parts) : 0;
  if (taken > 0) tunnel->consumed(*this, taken);
  if (over) return;
  std::size_t rest = 0;
  for (const iovec& part : parts) rest += part.iov_len;
  rest -= taken;
  if (rest > 0 && !inbox.has_room(rest)) {
    return tunnel->reset(*this, ErrorCode::kEnhanceYourCalm, Reason::kInternal,
                         "too many bytes wait for applications that do not read");
  }
  for (const iovec& part : parts) {
    const std::size_t gone = std::min(taken, part.iov_len);
    taken -= gone;
    if (gone < part.iov_len) inbox.append({static_cast<const std::byte*>(part.iov_base) + gone, part.iov_len - gone});
  }
  if (end) remote_end = true;
  if (end || !inbox.empty()) arrived.notify_all();
}

void StreamState::finish(Reason why, std::string what) {
  if (over || (local_end && remote_end)) return;
  over = true;
  reason = why;
  text = std::move(what);
  arrived.notify_all();
  room.notify_all();
  tunnel->output_room().notify_all();
  if (receiver != nullptr) receiver->over();
}

void Stopper::stop(Reason reason) const {
  const auto state = state_.lock();
  if (state && !state->finished()) state->tunnel->reset(*state, ErrorCode::kInternalError, reason, "ended from outside");
}

TunnelStream::TunnelStream(std::shared_ptr<StreamState> state) : state_(std::move(state)) {}

TunnelStream::TunnelStream(TunnelStream&&) noexcept = default;

TunnelStream& TunnelStream::operator=(TunnelStream&& other) noexcept {
  if (this != &other) {
    if (state_) reset();
    state_ = std::move(other.state_);
  }
  return *this;
}

TunnelStream::~TunnelStream() {
  if (state_) reset();
}

const ConnectResponse& TunnelStream::response() const { return state_->response; }

const Identity& TunnelStream::peer_identity() const {
  CULVERT_CHECK(state_->tunnel->peer_identity());  // a handshake without one does not succeed
  return *state_->tunnel->peer_identity();
}

Endpoint TunnelStream::peer() const { return state_->tunnel->peer(); }
Endpoint TunnelStream::local() const { return state_->tunnel->local(); }

Stopper TunnelStream::stopper() const {
  Stopper stopper;
  stopper.state_ = state_;
  return stopper;
}

net::Task<net::Io> TunnelStream::read(std::span<std::byte> into) {
  const auto state = state_;
  while (true) {
    std::size_t total = 0;
    while (!state->inbox.empty() && total < into.size()) {
      const auto bytes = state->inbox.front().first(std::min(into.size() - total, state->inbox.front().size()));
      std::ranges::copy(bytes, into.subspan(total).begin());
      state->inbox.drop(bytes.size());
      total += bytes.size();
    }
    if (total > 0) {
      state->tunnel->consumed(*state, total);
      co_return net::Io{.state = net::Io::kOk, .bytes = total};
    }
    if (state->over) co_return net::Io{.state = net::Io::kReset};
    if (state->remote_end) co_return net::Io{.state = net::Io::kEof};
    co_await state->arrived.wait();
  }
}

net::Task<net::Io> TunnelStream::write_all(std::span<const std::byte> bytes) {
  const auto state = state_;
  Tunnel& tunnel = *state->tunnel;
  std::size_t written = 0;
  while (written < bytes.size()) {
    if (state->over || state->local_end) co_return net::Io{.state = net::Io::kReset, .bytes = written};
    const std::size_t window = tunnel.window(*state);
    if (window == 0) {
      co_await state->room.wait();
    } else if (tunnel.output_full()) {
      co_await tunnel.output_room().wait();
    } else {
      const std::size_t count = std::min({window, tunnel.quantum(), bytes.size() - written});
      tunnel.send(*state, bytes.subspan(written, count));
      written += count;
    }
  }
  co_return net::Io{.state = net::Io::kOk, .bytes = written};
}

void TunnelStream::shutdown_write() { state_->tunnel->finish(*state_); }

void TunnelStream::reset(Reason reason) {
  if (state_->finished()) return;
  // CANCEL reads as a clean end at some peers: only where no byte can have come before it.
  const auto code = state_->answered ? ErrorCode::kConnectError : ErrorCode::kCancel;
  state_->tunnel->reset(*state_, code, reason, "reset by our side");
}

Reason TunnelStream::ended() const { return state_->reason; }

}  // namespace culvert::hbone
