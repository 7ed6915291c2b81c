#include "common/net/descriptor.h"

#include <fcntl.h>

#include <boost/asio/posix/stream_descriptor.hpp>

#include "common/net/core.h"

namespace culvert::net {

// Shared by its Descriptor, by waits, and by Asio's handlers that have not run yet. One thread: plain counts.
struct Descriptor::State {
  using Socket = boost::asio::posix::basic_stream_descriptor<boost::asio::io_context::executor_type>;

  State(Loop& its_loop) : loop(its_loop), socket(its_loop.core().context) {}

  Loop& loop;
  Socket socket;
  std::array<std::coroutine_handle<>, 3> waiting{};
  std::array<bool, 3> armed{};  // Asio has a handler of ours
  bool closed = false;
  int references = 1;

  void retain() { ++references; }
  void drop() {
    if (--references == 0) delete this;
  }
  void arm(std::size_t direction);
};

namespace {

constexpr std::array kWaits = {boost::asio::posix::descriptor_base::wait_read, boost::asio::posix::descriptor_base::wait_write,
                               boost::asio::posix::descriptor_base::wait_error};

// What Asio calls when a direction is ready, or the descriptor was closed.
struct Handler {
  Descriptor::State* state;
  std::size_t direction;

  Handler(Descriptor::State* its_state, std::size_t its_direction) : state(its_state), direction(its_direction) {
    state->retain();
  }
  Handler(Handler&& other) noexcept : state(std::exchange(other.state, nullptr)), direction(other.direction) {}
  Handler(const Handler&) = delete;
  ~Handler() {
    if (state != nullptr) state->drop();
  }

  void operator()(const boost::system::error_code& /*a close: the waiter looks at `closed`*/) {
    state->armed[direction] = false;
    if (const auto handle = std::exchange(state->waiting[direction], {})) handle.resume();
  }
};

}  // namespace

void Descriptor::State::arm(std::size_t direction) {
  if (std::exchange(armed[direction], true)) return;
  socket.async_wait(kWaits[direction], Handler(this, direction));
}

Descriptor::~Descriptor() {
  if (state_ == nullptr) return;
  close();
  state_->drop();
}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  if (this != &other) {
    close();
    if (state_ != nullptr) state_->drop();
    state_ = std::exchange(other.state_, nullptr);
  }
  return *this;
}

Result<Descriptor> Descriptor::adopt(Loop& loop, Fd fd, bool non_blocking) {
  const int flags = non_blocking ? O_NONBLOCK : ::fcntl(fd.get(), F_GETFL);
  if (flags < 0 || ((flags & O_NONBLOCK) == 0 && ::fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) < 0))
    return failure_errno("making a descriptor non-blocking");
  Descriptor descriptor;
  descriptor.state_ = new State(loop);
  boost::system::error_code error;
  descriptor.state_->socket.assign(fd.get(), error);
  if (error) {
    descriptor.state_->closed = true;
    return failure("adding a descriptor to the loop: " + error.message());
  }
  std::ignore = fd.release();
  return descriptor;
}

Descriptor::operator bool() const { return state_ != nullptr && !state_->closed; }

int Descriptor::fd() const { return *this ? state_->socket.native_handle() : -1; }

Loop& Descriptor::loop() const {
  CULVERT_CHECK(state_ != nullptr);
  return state_->loop;
}

void Descriptor::close() {
  if (state_ == nullptr || std::exchange(state_->closed, true)) return;
  boost::system::error_code ignored;
  state_->socket.close(ignored);
}

Fd Descriptor::release() {
  if (!*this) return {};
  state_->closed = true;
  return Fd(state_->socket.release());
}

Descriptor::Wait::Wait(State* state, Direction direction, bool ready) : state_(state), direction_(direction), ready_(ready) {
  if (state_ != nullptr) state_->retain();
}

Descriptor::Wait::~Wait() {
  if (state_ == nullptr) return;
  if (suspended_) state_->waiting[static_cast<std::size_t>(direction_)] = {};
  state_->drop();
}

bool Descriptor::Wait::await_ready() const noexcept { return ready_ || state_ == nullptr || state_->closed; }

void Descriptor::Wait::await_suspend(std::coroutine_handle<> handle) {
  const auto direction = static_cast<std::size_t>(direction_);
  CULVERT_CHECK(!state_->waiting[direction]);
  state_->waiting[direction] = handle;
  suspended_ = true;
  state_->arm(direction);
}

Status Descriptor::Wait::await_resume() {
  suspended_ = false;
  if (state_ == nullptr || state_->closed) return failure("the connection was closed on our side");
  return {};
}

}  // namespace culvert::net
