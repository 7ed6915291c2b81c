#include "common/rpc/call.h"

#include <utility>

#include "common/rpc/connection.h"
#include "common/rpc/message.h"

namespace culvert::rpc {

Call::Call(std::shared_ptr<Hearing> hearing, net::Loop& its_loop, std::weak_ptr<Connection> connection, Facts facts)
    : hearing_(std::move(hearing)), its_loop_(its_loop), connection_(std::move(connection)), facts_(std::move(facts)) {}

Call::~Call() = default;

// --- the handler's loop ----------------------------------------------------------------------------------------------

template <class Action>
void Call::on_connection(Action action) {
  if (detached_) return;
  its_loop_.post([connection = connection_, stream = facts_.stream, action = std::move(action)]() mutable {
    if (const auto live = connection.lock()) action(*live, stream);
  });
}

std::string_view Call::metadata(std::string_view name) const {
  for (const http::HeaderField& field : facts_.metadata)
    if (field.name == name) return field.value;
  return {};
}

void Call::proved(const std::string& caller) {
  on_connection([caller](Connection& connection, auto stream) { connection.prove(stream, caller); });
}

void Call::accept(Events events) {
  if (finished_) return;
  events_ = std::move(events);
  accepted_ = true;
  if (ended_) return end();
  on_connection([one = events_.one_message, tell = static_cast<bool>(events_.on_sent)](Connection& connection, auto stream) {
    connection.accept(stream, one, tell);
  });
}

void Call::send(std::string message) { send(Pieces{std::make_shared<const std::string>(std::move(message))}); }

void Call::send(Pieces message) {
  if (finished_ || ended_) return;
  on_connection([message = std::move(message), number = ++sends_](Connection& connection, auto stream) mutable {
    connection.send(stream, std::move(message), number);
  });
}

void Call::answer(std::string message) {
  if (finished_) return;
  send(std::move(message));
  finished_ = true;
  events_ = {};
  on_connection([](Connection& connection, auto stream) { connection.finish(stream, {}); });
}

void Call::finish(Ended status) {
  if (std::exchange(finished_, true)) return;
  events_ = {};
  on_connection([status = std::move(status)](Connection& connection, auto stream) {
    connection.drop_unsent(stream);
    connection.finish(stream, status);
  });
}

void Call::detach() {
  detached_ = true;
  finished_ = true;
  events_ = {};
}

void Call::read(std::string message) {
  if (finished_) return;
  const auto on_message = events_.on_message;  // a copy: the handler may finish the call, which drops the events
  if (on_message) on_message(std::move(message));
}

// The peer has finished sending: there is no use in a call that only listens.
void Call::end() {
  ended_ = true;
  if (finished_ || !accepted_) return;
  const auto on_end = std::move(events_.on_end);
  finish({});
  if (on_end) on_end();
}

// --- the connection's thread ------------------------------------------------------------------------------------------

void Call::hear() {
  hearing_->loop.post([self = shared_from_this()] {
    if (self->hearing_->closed) return;
    self->hearing_->live.emplace(self.get(), self);
    self->hearing_->handler(self);
  });
}

bool Call::ready() {
  if (!reading_) return true;
  stalled_ = true;
  if (reading_) return false;
  return stalled_.exchange(false);  // false: it is posted already
}

void Call::deliver(std::string message, Budget::Share share) {
  reading_ = true;
  hearing_->loop.post([self = shared_from_this(), message = std::move(message), share = std::move(share)]() mutable {
    self->read(std::move(message));
    share = {};
    self->reading_ = false;
    if (self->stalled_.exchange(false))
      self->on_connection([](Connection& connection, auto stream) { connection.read_on(stream); });
  });
}

void Call::sent(std::uint64_t number) {
  hearing_->loop.post([self = shared_from_this(), number] {
    const auto on_sent = self->events_.on_sent;
    if (on_sent && number == self->sends_) on_sent();
  });
}

void Call::finished_sending() {
  hearing_->loop.post([self = shared_from_this()] { self->end(); });
}

void Call::closed(std::move_only_function<void()> known) {
  hearing_->loop.post([self = shared_from_this(), known = std::move(known)]() mutable {
    self->hearing_->live.erase(self.get());
    self->end();
    self->detached_ = true;
    if (!self->hearing_->closed) self->its_loop_.post(std::move(known));
  });
}

}  // namespace culvert::rpc
