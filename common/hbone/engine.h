#pragma once
// The HTTP/2 of HBONE (RFC 9113, protocols.md §1.3): CONNECT streams, DATA, windows, SETTINGS, PING, GOAWAY and RST_STREAM, and no
// more. Sans-I/O: fed the bytes of a TLS connection, returns events; what it wants to say collects in output().
//
//   input bytes --> next() --> Event          open/respond/data/consumed/reset/... --> output() --> TLS
//
// Flow control:
//   connection  practically unlimited (2^31-1) and credited on receipt: a stalled reader stops nobody else
//   stream      `stream_window` bytes, given back by consumed() as the reader takes them; doubled up to `stream_window_cap` for a
//               reader that keeps up, as long as the connection's `window_budget` for such growth lasts; given back only in part,
//               down to `stream_window_floor`, while the owner is short of memory
//
// Nothing that a peer sends aborts: a broken stream is reset, a broken or flooding connection ends with kFailed after a GOAWAY.
// One thread; the clock comes from outside (set_now).

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/base/result.h"
#include "common/hbone/frame.h"
#include "common/http/hpack.h"

namespace culvert::hbone {

struct EngineOptions {
  std::uint32_t max_streams = 200;                    // what a server advertises and enforces
  std::uint32_t pool_streams = 100;                   // what a client uses at most, if its peer allows as many
  std::uint32_t stream_window = 256 * 1024;           // advertised for a new stream
  std::uint32_t stream_window_cap = 4 * 1024 * 1024;  // what a stream may grow to
  std::uint32_t stream_window_floor = 64 * 1024;      // what it may shrink to
  std::uint32_t window_budget = 32 * 1024 * 1024;     // sum of all growth on one connection
  std::uint32_t max_frame = 1024 * 1024;              // advertised SETTINGS_MAX_FRAME_SIZE
  std::uint32_t max_header_list = 64 * 1024;          // 16 KiB for clients
};

struct Event {
  enum class Kind : std::uint8_t {
    kNone,      // everything is read; feed more
    kRequest,   // server: a new stream with `headers`
    kResponse,  // client: the first answer on a stream, `headers`
    kData,      // `data` arrived, part of the input; `end` may be set, `data` may be empty then
    kReset,     // the peer ended the stream at once with `code`, or broke a rule on it; the stream is gone
    kRoom,      // the send window of the stream opened; stream 0: of every stream (connection window, new settings)
    kPong,      // the answer to ping()
    kDrained,   // server: the peer knows that we take no more streams: drained()
    kGoaway,    // the peer takes no stream past `stream`; it will close when the others are done
    kFailed,    // the connection is over: `error` says why; output() holds our GOAWAY
  };
  Kind kind = Kind::kNone;
  std::uint32_t stream = 0;
  bool end = false;  // the peer has nothing more to send on this stream
  ErrorCode code = ErrorCode::kNoError;
  std::span<const std::byte> data = {};  // valid until the input is touched
  http::HeaderList headers = {};
  Error error = {};
};

class Engine {
 public:
  enum class Role : std::uint8_t { kClient, kServer };
  using Clock = std::chrono::steady_clock;

  // Queues the preface (client) and SETTINGS at once.
  Engine(Role role, const EngineOptions& options);

  // --- in ---------------------------------------------------------------------------------------------------------
  // Reads from the front of `input` until something happened, and moves `input` past what it read.
  Event next(std::span<const std::byte>& input);
  // The flood limits refill with time: call before next().
  void set_now(Clock::time_point now) { now_ = now; }

  // --- out --------------------------------------------------------------------------------------------------------
  // Framed bytes that wait to be sent, in order. The owner takes them from here; data frames may be put between them.
  std::vector<std::byte>& output() { return output_; }

  // Client: whether another stream may be opened, and how many more.
  std::uint32_t open_room() const;
  std::optional<std::uint32_t> open(std::span<const http::HeaderField> request);  // nothing when there is no room
  // Server: the answer; with `end` nothing follows.
  void respond(std::uint32_t stream, std::span<const http::HeaderField> response, bool end);

  // Bytes that may be sent on the stream now (windows of stream and connection), 0 for a stream that is gone or ended.
  std::size_t sendable(std::uint32_t stream) const;
  std::size_t max_data() const { return peer_max_frame_; }  // the most in one frame
  // The header of a DATA frame of `length` <= min(sendable(stream), max_data()) bytes; the owner sends it and then the bytes.
  FrameHeaderBytes data(std::uint32_t stream, std::size_t length, bool end);
  // The reader took `bytes` of what kData brought: credit them. `frugal`: less than that, memory is short.
  void consumed(std::uint32_t stream, std::size_t bytes, bool frugal = false);
  // Ends a stream at once; without effect on one that is gone.
  void reset(std::uint32_t stream, ErrorCode code);
  void ping();
  // No new streams: the ones that live may finish. A client just stops opening. A server says GOAWAY twice (RFC 9113 §6.8): the first
  // names no stream and asks with a PING; what the peer sent before it heard of that is served. The peer's answer, or last_call(),
  // brings the second, and later streams are refused.
  void drain();
  void last_call();

  // What came was HTTP/2, and yet of no use to the owner: a peer may do that as often as it may send noise. kFailed when it was too often.
  std::optional<Event> annoyed(std::string_view by) { return noise(by); }

  bool failed() const { return failed_; }
  bool greeted() const { return settings_seen_; }  // the peer has sent its SETTINGS
  bool draining() const { return drain_ != Drain::kNo || peer_goaway_; }
  bool drained() const { return drain_ == Drain::kDone || peer_goaway_; }  // no stream will be added to those that live
  bool knows(std::uint32_t stream) const { return streams_.contains(stream); }
  std::size_t stream_count() const { return streams_.size(); }
  std::size_t held() const { return output_.capacity() + partial_.capacity() + block_.capacity(); }  // bytes of memory
  std::size_t window_of(std::uint32_t stream) const;  // what the peer may send before we credit more; for tests and bounds

 private:
  struct Stream {
    std::int64_t send_window = 0;
    std::int64_t receive_window = 0;  // what the peer may still send
    std::uint32_t window_size = 0;    // what receive_window is filled up to
    std::uint32_t to_credit = 0;      // consumed, not given back yet
    bool answered = false;            // client: the first response arrived. server: we responded
    bool local_end = false;
    bool remote_end = false;
  };
  // A bucket of things that cost us work and help nobody: PING, SETTINGS, resets, empty frames.
  struct Budget {
    double tokens;
    double most;
    double per_second;
    Clock::time_point filled{};
    bool spend(Clock::time_point now);
  };

  enum class Drain : std::uint8_t { kNo, kAsked, kDone };
  static constexpr std::uint64_t kPing = 0x63756c7665727401, kDrainPing = 0x63756c7665727402;  // "culvert", and which it is

  // Reading (engine_read.cc, engine_control.cc). A step that brought nothing to tell returns no event.
  using Step = std::optional<Event>;
  Event fail(ErrorCode code, std::string text);
  Step stream_error(std::uint32_t id, ErrorCode code, std::string text);
  Step read_preface(std::span<const std::byte>& input);
  bool read_frame_header(std::span<const std::byte>& input);
  Step begin_frame();
  Step begin_data();
  Step continue_data(std::span<const std::byte>& input);
  Step end_of_stream(std::uint32_t id, std::span<const std::byte> chunk);
  Step finish_frame(std::span<const std::byte> payload);
  Step on_headers(std::span<const std::byte> payload);
  Step on_continuation(std::span<const std::byte> payload);
  Step on_header_block();
  Step on_request(std::uint32_t id, http::HpackDecoder::Decoded decoded);
  Step on_response(std::uint32_t id, http::HpackDecoder::Decoded decoded);
  Step on_trailers(std::uint32_t id);
  Step on_settings(std::span<const std::byte> payload);
  Step apply_setting(Setting id, std::uint32_t value);
  Step shift_windows(std::int64_t change);
  Step on_ping(std::span<const std::byte> payload);
  Step on_goaway(std::span<const std::byte> payload);
  Step on_window_update(std::span<const std::byte> payload);
  Step on_reset(std::span<const std::byte> payload);
  Step noise(std::string_view what);
  bool is_idle(std::uint32_t id) const;

  // Writing (engine.cc).
  Stream& add_stream(std::uint32_t id);
  void close_if_done(std::uint32_t id);
  void erase(std::uint32_t id);
  void grow(std::uint32_t id, Stream& stream);
  void shrink(Stream& stream);
  void credit_connection();
  void put(const FrameHeader& header, std::span<const std::byte> payload = {});
  void put_headers(std::uint32_t id, std::span<const http::HeaderField> headers, bool end);
  void put_settings();
  void put_goaway(std::uint32_t last, ErrorCode code, std::string_view text = {});
  void put_ping(std::uint64_t payload);
  void put_window_update(std::uint32_t id, std::uint32_t bytes);

  const Role role_;
  const EngineOptions options_;
  Clock::time_point now_{};
  std::vector<std::byte> output_;
  http::HpackEncoder encoder_;
  http::HpackDecoder decoder_;
  std::unordered_map<std::uint32_t, Stream> streams_;

  // Reading.
  std::size_t preface_left_;  // server: bytes of the client's preface still to come
  bool settings_seen_ = false;
  std::vector<std::byte> partial_;  // a frame header, or the payload of a control frame, that is not complete yet
  bool in_frame_ = false;
  FrameHeader frame_;
  std::uint32_t data_stream_ = 0;  // whose DATA is under way; 0: the rest of the frame is thrown away
  std::size_t data_left_ = 0;      // of the frame under way, without padding
  std::size_t padding_left_ = 0;
  bool padding_unread_ = false;     // the byte that gives the padding's length is still to come
  std::vector<std::byte> block_;    // a header block under way
  std::uint32_t block_stream_ = 0;  // not 0: only CONTINUATION of this stream may come
  bool block_end_ = false;
  unsigned block_frames_ = 0;

  // The connection.
  std::int64_t send_window_ = kDefaultWindow;
  std::int64_t receive_window_ = kMaxWindow;
  std::uint32_t peer_initial_window_ = kDefaultWindow;
  std::uint32_t peer_max_frame_ = kDefaultMaxFrame;
  std::uint32_t peer_max_streams_;
  std::uint32_t next_id_ = 1;       // client: of the next stream
  std::uint32_t last_peer_id_ = 0;  // server: the highest stream the peer opened
  std::int64_t grown_ = 0;          // of window_budget; streams that shrank count against it
  Drain drain_ = Drain::kNo;
  bool pinged_ = false;  // ping() is not answered yet
  bool peer_goaway_ = false;
  bool failed_ = false;
  Budget noise_;
  Budget resets_;
};

}  // namespace culvert::hbone
