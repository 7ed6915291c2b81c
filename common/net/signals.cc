#include "common/net/signals.h"

#include <signal.h>

#include <boost/asio/basic_signal_set.hpp>
#include <deque>

#include "common/net/core.h"
#include "common/net/event.h"

namespace culvert::net {

struct Signals::State : std::enable_shared_from_this<State> {
  explicit State(Loop& loop) : set(loop.core().context), changed(loop) {}

  void wait() {
    set.async_wait([self = shared_from_this()](const boost::system::error_code& error, int number) {
      if (error) return;
      self->pending.push_back(number);
      self->changed.notify_all();
      self->wait();
    });
  }

  boost::asio::basic_signal_set<boost::asio::io_context::executor_type> set;
  std::deque<int> pending;
  Event changed;
  bool closed = false;
};

Signals::Signals(Loop& loop, std::initializer_list<int> numbers) : state_(std::make_shared<State>(loop)) {
  for (const int number : numbers) {
    boost::system::error_code ignored;  // only numbers that cannot be caught fail
    state_->set.add(number, ignored);
  }
  state_->wait();
}

Signals::~Signals() { close(); }

Task<int> Signals::next() {
  const auto state = state_;
  while (state->pending.empty() && !state->closed) co_await state->changed.wait();
  if (state->closed) co_return 0;
  const int number = state->pending.front();
  state->pending.pop_front();
  co_return number;
}

void Signals::close() {
  if (std::exchange(state_->closed, true)) return;
  boost::system::error_code ignored;
  state_->set.cancel(ignored);
  state_->set.clear(ignored);
  state_->changed.notify_all();
}

void ignore_sigpipe() { ::signal(SIGPIPE, SIG_IGN); }

}  // namespace culvert::net
