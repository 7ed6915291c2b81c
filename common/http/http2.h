#pragma once
// One HTTP/2 connection (RFC 9113) whose streams carry messages: nghttp2's session behind a class that owns what is to be sent. Sans-I/O, for
// gRPC; tunnels have an engine of their own (common/hbone/engine.h), whose bytes go from one socket to another.
//
//   Http2 session(Http2::Role::kServer, limits, events);
//   if (auto taken = session.receive(bytes); !taken) ...           // calls events; the connection is to end
//   session.respond(stream, headers); session.send(stream, {piece, piece}); session.finish(stream, trailers);
//   session.output(buffer, 64 << 10);                                // frames for the peer, about so much of them
//
// What a peer sends is credited by credit() alone: a stream that is not read from keeps its peer waiting. What it can make us hold is bounded: streams,
// header lists, windows, answers to pings and settings, resets (nghttp2's limits); whoever is past one of those ends the connection.

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/base/result.h"
#include "common/http/hpack.h"

struct nghttp2_session;

namespace culvert::http {

// Takes the resets of streams that have never begun out of what a client sends. gRPC 1.51 sends them, for calls that were taken back before their headers had
// gone; they are harmless, and for nghttp2, as RFC 9113 (5.1) has it, a reason to end the connection.
class IdleResets {
 public:
  // What is left of the bytes, in pieces: of this input, or of ours, good until the next call.
  using Pass = std::function<void(std::span<const std::byte>)>;
  void filter(std::span<const std::byte> bytes, const Pass& pass);

 private:
  static constexpr std::size_t kHeader = 9;
  bool harmless();
  std::size_t skip_ = 24;  // of the preface, or of the frame's payload
  bool drop_ = false;      // which is not passed on
  std::array<std::byte, kHeader> header_{};
  std::size_t header_size_ = 0;
  std::uint32_t begun_ = 0;  // the last stream
};

class Http2 {
 public:
  using StreamId = std::int32_t;
  // A message in pieces, one after the other. What others send as well is not copied for each.
  using Pieces = std::vector<std::shared_ptr<const std::string>>;
  enum class Role : std::uint8_t { kServer, kClient };

  struct Limits {
    std::uint32_t streams = 100;                // that the peer may have open
    std::uint32_t header_list = 16 << 10;       // as SETTINGS_MAX_HEADER_LIST_SIZE counts; a longer one resets its stream
    std::uint32_t connection_window = 1 << 20;  // bytes of all streams; of one: 65,535 until it is widened
  };

  // All but on_sent() and on_closed() come from within receive(), those from output() as well. None may destroy the Http2.
  class Events {
   public:
    // A request, of a server; of a client a response, or trailers.
    virtual void on_headers(StreamId stream, HeaderList headers) = 0;
    virtual void on_data(StreamId stream, std::span<const std::byte> bytes) = 0;
    virtual void on_end(StreamId stream) = 0;   // the peer has said all of it
    virtual void on_sent(StreamId stream) = 0;  // everything given to send() is in output()
    // The last of a stream. 0: both sides had said all; else the code of the reset.
    virtual void on_closed(StreamId stream, std::uint32_t code) = 0;

   protected:
    ~Events() = default;
  };

  // The events must outlive it.
  Http2(Role role, const Limits& limits, Events& events);
  ~Http2();
  Http2(const Http2&) = delete;

  // Fails when the peer broke the protocol beyond words. Where there are words output() has them: then it is broken(), and over().
  Status receive(std::span<const std::byte> bytes);
  // Appends frames to `out` until it has about `enough` bytes. Fails as receive() does.
  Status output(std::vector<std::byte>& out, std::size_t enough);
  bool has_output() const;
  bool over() const;                       // nothing will come or go any more
  bool broken() const { return broken_; }  // what output() gave says that the peer broke the protocol or a limit

  StreamId request(const HeaderList& headers);                                 // client
  void respond(StreamId stream, const HeaderList& headers, bool end = false);  // server, once a stream
  void send(StreamId stream, Pieces message);                                  // after respond() or request(), before finish()
  void finish(StreamId stream, HeaderList trailers);                           // after what waits; none: the end without them
  void drop_unsent(StreamId stream);                                           // messages of which nothing was sent
  void reset(StreamId stream, std::uint32_t code);
  bool known(StreamId stream) const { return streams_.contains(stream); }

  // So many bytes of on_data() have been taken in. Of a stream that has closed too: they count for the connection.
  void credit(StreamId stream, std::size_t bytes);
  void widen(StreamId stream, std::size_t window);
  void ping();
  // GOAWAY: first that it will come, so that what the peer has sent meanwhile is still served, then that it has.
  void announce_end();
  void end();

  static constexpr std::uint32_t kNoError = 0, kCancel = 8;

 private:
  struct Callbacks;
  struct Outgoing {
    std::deque<Pieces> messages;
    std::size_t piece = 0, offset = 0;  // of the first message, what was sent
    HeaderList trailers;
    bool flowing = false;   // the body has begun
    bool deferred = false;  // nghttp2 waits for more of it
    bool unsaid = false;    // on_sent() is owed
    bool finished = false;
  };

  std::size_t fill(Outgoing& outgoing, std::span<std::uint8_t> into);
  void flow(StreamId stream, Outgoing& outgoing);

  const Role role_;
  const Limits limits_;
  Events& events_;
  struct Delete {
    void operator()(nghttp2_session* session) const;
  };
  std::unique_ptr<nghttp2_session, Delete> session_;
  std::unordered_map<StreamId, Outgoing> streams_;
  IdleResets idle_resets_;
  HeaderList gathered_;  // of the header block that is being read
  std::size_t gathered_size_ = 0;
  bool broken_ = false;
  std::size_t resets_ = 0;  // of ours that say that the peer is wrong
};

}  // namespace culvert::http
