// What comes on the streams of a connection, and what its calls say.

#include <charconv>
#include <utility>

#include "common/base/format.h"
#include "common/rpc/connection.h"

namespace culvert::rpc {
namespace {

constexpr int kInternal = 13, kUnimplemented = 12, kResourceExhausted = 8;
// A message up to this has its memory by the window of its stream: it does not ask for any.
constexpr std::size_t kSmall = 64 << 10;
// That a peer may send ahead of a message whose memory it has.
constexpr std::size_t kWide = 1 << 20;

// As gRPC writes texts in a header: all but printable ASCII in hexadecimal.
std::string coded(std::string_view text) {
  std::string out;
  for (const char c : text)
    if (c >= 0x20 && c < 0x7f && c != '%') out += c;
    else out += culvert::format("%{:02X}", static_cast<unsigned>(static_cast<unsigned char>(c)));
  return out;
}

http::HeaderList trailers_of(const Ended& status) {
  constexpr std::size_t kMostText = 1000;  // peers, and nghttp2 before them, refuse a header list that is too long
  http::HeaderList out = {{.name = "grpc-status", .value = std::to_string(status.code)}};
  if (!status.text.empty())
    out.push_back({.name = "grpc-message", .value = coded(std::string_view(status.text).substr(0, kMostText)), .indexed = false});
  return out;
}

http::HeaderList response() {
  return {{.name = ":status", .value = "200"}, {.name = "content-type", .value = "application/grpc"}};
}

std::string_view value_of(const http::HeaderList& headers, std::string_view name) {
  for (const http::HeaderField& field : headers)
    if (field.name == name) return field.value;
  return {};
}

}  // namespace

Connection::Incoming* Connection::find(StreamId stream) {
  const auto found = streams_.find(stream);
  return found == streams_.end() ? nullptr : &found->second;
}

// --- what comes --------------------------------------------------------------------------------------------------------

void Connection::on_headers(StreamId stream, http::HeaderList headers) {
  if (over_) return;
  if (value_of(headers, ":method") != "POST" || !value_of(headers, "content-type").starts_with("application/grpc"))
    return http_->respond(stream, {{.name = ":status", .value = "415"}}, true);
  const auto ticket = house_.door.begin_call(id_);
  if (!ticket) return refuse(stream, kResourceExhausted, "too many calls at one time");
  // Who is not proved has half of it at most: a connection of one who is finds room.
  const std::size_t all = house_.options.max_calls;
  if (house_.calls >= (ticket->unproved ? std::max<std::size_t>(1, all / 2) : all)) {
    house_.door.count_refused();
    go_on(house_.door.end_call(*ticket));
    return refuse(stream, kResourceExhausted, "too many calls");
  }
  ++house_.calls;
  Call::Facts facts{.stream = stream,
                    .path = std::string(value_of(headers, ":path")),
                    .metadata = std::move(headers),
                    .peer = peer_,
                    .certificate = certificate_};
  Incoming& incoming = streams_[stream];
  incoming.ticket = *ticket;
  incoming.waits = ticket->waits;
  incoming.call = std::make_shared<Call>(house_.hearing, socket_.loop(), weak_from_this(), std::move(facts));
  if (!incoming.waits) incoming.call->hear();
}

void Connection::on_data(StreamId stream, std::span<const std::byte> bytes) {
  Incoming* const incoming = find(stream);
  if (incoming == nullptr) return http_->credit(stream, bytes.size());
  if (incoming->held.empty()) bytes = bytes.subspan(read(stream, *incoming, bytes));
  incoming->held.append(bytes);
}

void Connection::on_end(StreamId stream) {
  Incoming* const incoming = find(stream);
  if (incoming == nullptr) return;
  incoming->all_sent = true;
  read_on(stream);
}

void Connection::on_sent(StreamId stream) {
  if (Incoming* const incoming = find(stream); incoming != nullptr && incoming->tell_sent) incoming->call->sent(incoming->sends);
}

void Connection::on_closed(StreamId stream, std::uint32_t) {
  const auto found = streams_.find(stream);
  if (found == streams_.end()) return;
  Incoming incoming = std::move(found->second);
  streams_.erase(found);
  http_->credit(stream, incoming.held.size());
  close_call(incoming);
}

// Counted until the handler knows of its end: what it has still to hear of is bounded by that.
void Connection::close_call(Incoming& incoming) {
  auto forget = [&house = house_, weak = weak_from_this(), ticket = incoming.ticket] {
    --house.calls;
    const auto next = house.door.end_call(ticket);
    if (const auto self = weak.lock()) self->go_on(next);
  };
  if (incoming.waits) return forget();
  incoming.call->closed(std::move(forget));
}

// Calls that have waited for their turn.
void Connection::go_on(const std::vector<Gate::Call>& calls) {
  for (const Gate::Call call : calls)
    for (auto& [stream, incoming] : streams_)
      if (incoming.ticket.call == call && std::exchange(incoming.waits, false)) incoming.call->hear();
}

// --- messages ----------------------------------------------------------------------------------------------------------

// What of these bytes can be read now; how many are done with, and credited.
std::size_t Connection::read(StreamId stream, Incoming& incoming, std::span<const std::byte> bytes) {
  const std::size_t before = bytes.size();
  while (step(stream, incoming, bytes)) {}
  if (incoming.all_read) bytes = {};
  http_->credit(stream, before - bytes.size());
  return before - bytes.size();
}

// Once everything that has come is read.
void Connection::tell_end(StreamId stream, Incoming& incoming) {
  if (incoming.all_read || !incoming.accepted || !incoming.all_sent || !incoming.held.empty() || incoming.for_room) return;
  if (!incoming.reader.between()) return answer(stream, {.code = kInternal, .text = "the last message is not whole"});
  incoming.all_read = true;
  incoming.call->finished_sending();
}

// One step of what has come. False: nothing more of it can be read now.
bool Connection::step(StreamId stream, Incoming& incoming, std::span<const std::byte>& bytes) {
  if (!incoming.accepted || incoming.for_room || incoming.all_read || !incoming.call->ready()) return false;
  switch (incoming.reader.take(bytes)) {
    case MessageReader::Step::kMore: return false;
    case MessageReader::Step::kCompressed: refuse(stream, kUnimplemented, "compressed messages are not taken"); return false;
    case MessageReader::Step::kBegun:
      if (const std::size_t most = house_.options.max_message_bytes; incoming.reader.size() > most) {
        refuse(stream, kResourceExhausted, culvert::format("a message of {} bytes, more than {}", incoming.reader.size(), most));
        return false;
      }
      if (incoming.reader.size() > kSmall) make_room(stream, incoming);
      return true;
    case MessageReader::Step::kMessage:
      house_.door.moved(incoming.ticket);
      incoming.shared_at.reset();
      incoming.all_read = incoming.one_message;
      incoming.call->deliver(incoming.reader.message(), std::move(incoming.share));
      return true;
  }
  return false;
}

void Connection::make_room(StreamId stream, Incoming& incoming) {
  auto later = [weak = weak_from_this(), &loop = socket_.loop(), stream, call = incoming.ticket.call](Budget::Share share) {
    loop.post([weak, stream, call, share = std::move(share)]() mutable {
      const auto self = weak.lock();
      Incoming* const waiting = self ? self->find(stream) : nullptr;
      if (waiting == nullptr || waiting->ticket.call != call || !waiting->for_room) return;
      waiting->for_room = false;
      waiting->share = std::move(share);
      waiting->shared_at = net::Clock::now();
      self->http_->widen(stream, kWide);
      self->read_on(stream);
      self->want_write();
    });
  };
  auto share = house_.budget->take(incoming.reader.size(), std::move(later));
  incoming.for_room = !share;
  if (!share) return;
  incoming.share = std::move(*share);
  incoming.shared_at = net::Clock::now();
  http_->widen(stream, kWide);
}

void Connection::read_on(StreamId stream) {
  Incoming* const incoming = find(stream);
  if (over_ || incoming == nullptr) return;
  incoming->held.drop(read(stream, *incoming, incoming->held.bytes()));
  tell_end(stream, *incoming);
  want_write();
}

// --- what its calls say ------------------------------------------------------------------------------------------------

void Connection::refuse(StreamId stream, int code, const std::string& text) {
  drop_unsent(stream);
  answer(stream, {.code = code, .text = text});
}

void Connection::prove(StreamId stream, const std::string& caller) {
  Incoming* const incoming = find(stream);
  if (over_ || incoming == nullptr) return;
  proved_ = true;
  go_on(house_.door.prove(incoming->ticket, caller));
}

void Connection::accept(StreamId stream, bool one_message, bool tell_sent) {
  Incoming* const incoming = find(stream);
  if (over_ || incoming == nullptr) return;
  incoming->accepted = true;
  incoming->one_message = one_message;
  incoming->tell_sent = tell_sent;
  read_on(stream);
}

void Connection::send(StreamId stream, Pieces message, std::uint64_t number) {
  Incoming* const incoming = find(stream);
  if (over_ || incoming == nullptr) return;
  if (!std::exchange(incoming->responded, true)) http_->respond(stream, response());
  incoming->sends = number;
  std::size_t size = 0;
  for (const auto& piece : message) size += piece->size();
  message.insert(message.begin(), std::make_shared<const std::string>(prefix_of(size)));
  http_->send(stream, std::move(message));
  want_write();
}

void Connection::drop_unsent(StreamId stream) {
  if (http_) http_->drop_unsent(stream);
}

void Connection::finish(StreamId stream, const Ended& status) {
  answer(stream, status);
  read_on(stream);  // what waits is of no use any more
}

// How it ends. Nothing more of it is read; its memory is for others.
void Connection::answer(StreamId stream, const Ended& status) {
  if (over_) return;
  Incoming* const incoming = find(stream);
  if (incoming != nullptr) {
    incoming->all_read = true;
    incoming->for_room = false;
    incoming->shared_at.reset();
    incoming->share = {};
    incoming->reader = {};
  }
  if (incoming != nullptr && incoming->responded) {
    http_->finish(stream, trailers_of(status));
  } else {
    http::HeaderList headers = response();
    for (http::HeaderField& field : trailers_of(status)) headers.push_back(std::move(field));
    http_->respond(stream, headers, true);
    if (incoming != nullptr) incoming->responded = true;
  }
  want_write();
}

}  // namespace culvert::rpc
