#pragma once
// The inside of tunnel.h, for this folder alone: one tunnel's life and the state of one of its streams.
//
//   reading()  recv -> tls::Session -> Engine -> StreamState::deliver -> Receiver (the relay writes to the application at once)
//   writing()  woken by whoever queued something; goes after everything else that is ready, so that what one turn of the loop
//              produced leaves in one send. Bytes of an application that has the tunnel to itself do not wait for it
// Both are coroutines that hold the tunnel; it is over when its socket is, and then they end.

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "common/hbone/tunnel.h"
#include "common/net/event.h"
#include "common/net/timer.h"
#include "common/tls/session.h"

namespace culvert::hbone {

// One read from an application: full TLS records, frame headers included. With others on the tunnel, all get their turn soon; alone, it is as
// much as makes 256 KiB with what waits already, which is the size that output is kept in (tls/output.cc).
inline constexpr std::size_t kQuantum = 64 * 1024 - kFrameHeader;
inline constexpr std::size_t kQuantumAlone = 256 * 1024 - kFrameHeader;
// Both the mark and the read while memory is short.
inline constexpr std::size_t kFrugal = 8 * 1024;

// Who gets a stream's bytes as they are decrypted. Called while the tunnel reads: must neither wait nor use the loop's scratch.
class Receiver {
 public:
  virtual std::size_t take(std::span<const iovec> parts) = 0;  // how many bytes it took; the rest waits in the inbox
  virtual void over() = 0;                                     // the stream was reset, stopped or lost

 protected:
  ~Receiver() = default;
};

// Bytes that arrived and were not taken yet, in pieces, so that nothing is moved as they come and go. Holds no memory when empty; what it
// holds, used or not, is counted.
class Inbox {
 public:
  explicit Inbox(Backlog* backlog) : backlog_(backlog) {}
  ~Inbox() { drop(size_); }
  Inbox(const Inbox&) = delete;
  Inbox& operator=(const Inbox&) = delete;

  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }
  bool has_room(std::size_t more) const { return backlog_ == nullptr || backlog_->has_room(growth(more)); }
  std::span<const std::byte> front() const;  // what came first, as far as it lies in one piece
  void append(std::span<const std::byte> more);
  void drop(std::size_t count);

 private:
  struct Piece {
    std::unique_ptr<std::byte[]> memory;
    std::size_t capacity = 0, begin = 0, end = 0;
    std::unique_ptr<Piece> next;
  };
  std::size_t growth(std::size_t more) const;  // memory that append() of as much takes
  std::unique_ptr<Piece> first_;
  Piece* last_ = nullptr;
  std::size_t size_ = 0;
  Backlog* const backlog_;  // the tunnel's
};

struct StreamState : std::enable_shared_from_this<StreamState> {
  StreamState(net::Loop& loop, std::shared_ptr<Tunnel> of, std::uint32_t number);

  void deliver(std::span<const iovec> parts, bool end);
  void finish(Reason why, std::string what);  // over, not by its own END_STREAMs
  bool finished() const { return over || (local_end && remote_end); }

  const std::shared_ptr<Tunnel> tunnel;
  const std::uint32_t id;
  Receiver* receiver = nullptr;
  Inbox inbox;
  net::Event arrived;        // bytes, the end, an answer
  net::Event room;           // the send window opened
  ConnectResponse response;  // client: once answered
  bool answered = false;     // client: the response arrived; server: we responded
  bool local_end = false;
  bool remote_end = false;
  bool over = false;
  bool unprocessed = false;       // the peer said that it did not look at this stream: it may be sent again elsewhere
  Reason reason = Reason::kNone;  // why it is over
  std::string text;
};

class Tunnel : public std::enable_shared_from_this<Tunnel> {
 public:
  using RequestHandler = std::function<void(std::shared_ptr<StreamState>, const http::HeaderList&)>;

  Tunnel(net::Loop& loop, net::Stream socket, tls::Session session, Engine::Role role, const TunnelOptions& options);

  // TLS; then start() serves until over(). Both have to be done, the peer's SETTINGS included, within the handshake timeout.
  net::Task<Status> shake_hands();
  void start();

  // `on_change`: room for streams, stream_count(), draining() or over() may have changed.
  void on_change(std::function<void()> function) { on_change_ = std::move(function); }
  void on_request(RequestHandler function) { on_request_ = std::move(function); }

  std::shared_ptr<StreamState> open(std::span<const http::HeaderField> request);  // client; nothing when there is no room
  void respond(StreamState& stream, std::span<const http::HeaderField> response, bool end);
  void refuse_nonsense(StreamState& stream);  // 400; a peer that goes on like this is lost
  std::size_t window(const StreamState& stream) const { return engine_->sendable(stream.id); }
  bool output_full() const { return queued() >= (short_of_memory() ? kFrugal : options_.output_mark); }
  void send(StreamState& stream, std::span<const std::byte> bytes);  // at most window()
  void finish(StreamState& stream);                                  // END_STREAM
  void consumed(StreamState& stream, std::size_t bytes);
  void reset(StreamState& stream, ErrorCode code, Reason reason, std::string text);

  // GOAWAY, after the handshake; closes when the streams are done, those included that the peer sent before it heard of it.
  void drain();
  void close(Reason reason, std::string text);  // at once; both ends see resets
  net::Event& output_room() { return output_room_; }
  net::Event& ended() { return ended_; }  // set when over

  net::Loop& loop() { return loop_; }
  const TunnelOptions& options() const { return options_; }
  bool over() const { return over_; }
  const Error& error() const { return error_; }  // why it is over; kNone for a clean end
  bool draining() const { return over_ || engine_->draining(); }
  std::uint32_t open_room() const { return over_ ? 0 : engine_->open_room(); }
  std::size_t stream_count() const { return streams_.size(); }
  std::size_t quantum() const {
    if (short_of_memory()) return kFrugal;
    return streams_.size() > 1 ? kQuantum : std::max(kQuantumAlone - std::min(kQuantumAlone, queued()), kQuantum);
  }
  std::size_t queued() const { return engine_output_size() + session_.output().size(); }
  const std::optional<Identity>& peer_identity() const { return peer_identity_; }
  const Endpoint& peer() const { return peer_; }
  const Endpoint& local() const { return local_; }

 private:
  static net::Task<> reading(std::shared_ptr<Tunnel> self);
  static net::Task<> writing(std::shared_ptr<Tunnel> self);
  void read_plaintext();
  void dispatch(std::span<const std::byte> plaintext);
  void gather(Event& event, std::shared_ptr<StreamState> stream);
  void deliver_gathered(bool end = false);
  void on_event(Event& event);
  void on_goaway(const Event& event);
  void on_room(std::uint32_t stream);
  void run_requests();
  void on_cut(const net::Io& io);
  void on_alarm();
  void last_call();
  static net::Task<> part(net::Stream& socket);
  static net::Task<> part_alone(net::Stream socket);
  void account();
  void forget_if_done(StreamState& stream);
  void close_if_empty();
  void want_flush();
  void flush_sent();
  bool seal();
  bool send_some(bool& blocked);
  void lose(Error error);
  void changed();
  std::size_t engine_output_size() const { return engine_ ? const_cast<Engine&>(*engine_).output().size() : 0; }
  bool short_of_memory() const { return options_.backlog && options_.backlog->tight(); }
  std::shared_ptr<StreamState> find(std::uint32_t id) const;

  net::Loop& loop_;
  const TunnelOptions options_;
  const Engine::Role role_;
  net::Stream socket_;
  tls::Session session_;
  std::optional<Engine> engine_;  // once the peer has proven who it is
  const Endpoint peer_;
  const Endpoint local_;
  std::optional<Identity> peer_identity_;
  std::unordered_map<std::uint32_t, std::shared_ptr<StreamState>> streams_;
  std::vector<std::pair<std::shared_ptr<StreamState>, http::HeaderList>> requests_;  // to be handed out after the read
  std::shared_ptr<StreamState> gathering_;  // whose DATA of this read is in parts_: several frames, one write to the application
  std::vector<iovec> parts_;
  Charge charge_;  // once the peer has proven who it is: for the tunnel itself, and what rests here
  std::function<void()> on_change_;
  RequestHandler on_request_;
  net::Event wanted_;       // something waits to be sent
  net::Event output_room_;  // less than the mark waits
  net::Event ended_;
  net::Timer alarm_;                     // the handshake's end; silence of the peer; the last patience while closing
  std::optional<net::Timer> last_call_;  // server, draining: the peer does not answer the first GOAWAY
  net::Clock::time_point greet_by_{};
  net::Clock::time_point heard_{};  // something that could be decrypted
  net::Clock::time_point idle_since_{};
  std::optional<net::Clock::time_point> pinged_;
  net::Clock::time_point sent_{};  // the last time that send() queued something
  int sends_ = 0;                  // since writing() had its turn
  bool lone_sender_ = false;       // what writing() sent last came from one send()
  bool blocked_ = false;           // writing() waits for the socket
  bool started_ = false;           // TLS is established, streams may live
  bool greeted_ = false;           // the peer's SETTINGS are there
  bool drain_asked_ = false;       // before it was started
  bool closing_ = false;           // close_notify is said; what remains is the peer's
  bool over_ = false;
  Error error_{.text = "", .reason = Reason::kNone};
};

}  // namespace culvert::hbone
