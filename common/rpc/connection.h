#pragma once
// One connection of a server: socket, TLS, HTTP/2, and of each call what has come and not been read. Lives on one thread of the server's, by two coroutines
// that hold it; is over when its socket is. Of this folder.
//
//   reading()  recv -> tls::Session -> http::Http2 -> Incoming -> Call::deliver
//   writing()  Http2's frames -> tls::Session -> send; woken by whoever queued something, after everything else that is ready
// While the socket takes no more nothing is read either: whoever does not read is not read from.

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/http/http2.h"
#include "common/net/event.h"
#include "common/net/stream.h"
#include "common/rpc/backlog.h"
#include "common/rpc/budget.h"
#include "common/rpc/call.h"
#include "common/rpc/door.h"
#include "common/rpc/message.h"
#include "common/rpc/server.h"
#include "common/tls/session.h"

namespace culvert::rpc {

// What the connections of a server share, over all of its threads.
struct House {
  House(const ServerOptions& its_options, std::shared_ptr<Hearing> its_hearing)
      : options(its_options), door(its_options.connections), hearing(std::move(its_hearing)) {}
  const ServerOptions options;
  Door door;
  const std::shared_ptr<Budget> budget = std::make_shared<Budget>(options.max_memory);
  const std::shared_ptr<Hearing> hearing;
  std::atomic<std::size_t> calls = 0;
};

class Connection final : public std::enable_shared_from_this<Connection>, private http::Http2::Events {
 public:
  using StreamId = http::Http2::StreamId;

  // Without a context: in plaintext. `ended` is told once, from within.
  Connection(House& house, net::Stream socket, std::optional<tls::Context> tls, Gate::Id id, std::function<void(Gate::Id)> ended);
  void start();

  void look(net::Clock::time_point now);  // a few times a second: who is silent, too old, or takes too long
  void cut();                             // at once; its peer sees a reset
  void shut();                            // the server ends: says so to every call, as far as the socket takes it

  // For its calls.
  void prove(StreamId stream, const std::string& caller);
  void accept(StreamId stream, bool one_message, bool tell_sent);
  void read_on(StreamId stream);
  void send(StreamId stream, Pieces message, std::uint64_t number);
  void drop_unsent(StreamId stream);
  void finish(StreamId stream, const Ended& status);

 private:
  struct Incoming {
    std::shared_ptr<Call> call;
    Gate::Ticket ticket;
    MessageReader reader{};
    Backlog held{};         // what has come and was not looked at, and is not credited
    Budget::Share share{};  // of the message under way
    std::optional<net::Clock::time_point> shared_at{};
    bool waits = false;     // for its turn: nobody has heard of it
    bool accepted = false;  // it is read
    bool one_message = false;
    bool tell_sent = false;
    bool for_room = false;  // waits for memory
    bool all_read = false;  // nothing more of it is looked at
    bool all_sent = false;  // the peer has finished sending
    bool responded = false;
    std::uint64_t sends = 0;  // the number of the last message
  };

  static net::Task<> reading(std::shared_ptr<Connection> self);
  static net::Task<> writing(std::shared_ptr<Connection> self);
  bool take(std::span<const std::byte> received);
  bool take_plaintext(std::span<const std::byte> plaintext);
  void greet();
  bool seal();
  std::span<const std::byte> output() const;
  bool send_some();
  void want_write() { wanted_.notify_all(); }
  void close_soon();
  void end();
  void grow_old(net::Clock::time_point now);

  void on_headers(StreamId stream, http::HeaderList headers) override;
  void on_data(StreamId stream, std::span<const std::byte> bytes) override;
  void on_end(StreamId stream) override;
  void on_sent(StreamId stream) override;
  void on_closed(StreamId stream, std::uint32_t code) override;
  std::size_t read(StreamId stream, Incoming& incoming, std::span<const std::byte> bytes);
  bool step(StreamId stream, Incoming& incoming, std::span<const std::byte>& bytes);
  void make_room(StreamId stream, Incoming& incoming);
  void tell_end(StreamId stream, Incoming& incoming);
  void answer(StreamId stream, const Ended& status);
  void refuse(StreamId stream, int code, const std::string& text);
  void close_call(Incoming& incoming);
  void go_on(const std::vector<Gate::Call>& calls);
  Incoming* find(StreamId stream);

  House& house_;
  net::Stream socket_;
  const std::optional<tls::Context> tls_;
  std::optional<tls::Session> session_;  // once a byte has come: who says nothing costs no more than his socket
  const Gate::Id id_;
  const std::function<void(Gate::Id)> ended_;
  const Endpoint peer_;
  std::optional<http::Http2> http_;  // once TLS is established
  std::shared_ptr<const std::string> certificate_;
  std::unordered_map<StreamId, Incoming> streams_;
  std::vector<std::byte> plain_output_;  // without TLS
  std::size_t received_ = 0;             // bytes, ever
  net::Event wanted_;                    // something waits to be sent
  net::Event unblocked_;                 // the socket takes more again
  bool blocked_ = false;
  // Nothing more is read since then; what is queued is sent, and that is the end.
  std::optional<net::Clock::time_point> closing_;
  bool proved_ = false;
  bool over_ = false;
  const net::Clock::time_point since_ = net::Clock::now();
  const net::Clock::duration age_;  // that it may reach
  net::Clock::time_point heard_ = since_;
  net::Clock::time_point busy_ = since_;  // when it had a call last
  std::optional<net::Clock::time_point> pinged_, announced_;
  bool said_end_ = false;
};

}  // namespace culvert::rpc
