#include "common/http/http2.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/base/check.h"

namespace culvert::http {
namespace {

// What nghttp2 bounds for us, beside its defaults for CONTINUATION and SETTINGS: streams that are begun and reset (CVE-2023-44487), at one time and each
// second; answers that wait to be sent.
constexpr std::uint64_t kResets = 200, kResetsEachSecond = 33;
constexpr std::size_t kAnswers = 100;
constexpr std::size_t kFieldOverhead = 32;  // RFC 7541, section 4.1

std::uint8_t* bytes_of(const std::string& text) { return reinterpret_cast<std::uint8_t*>(const_cast<char*>(text.data())); }

// Points into `headers`.
std::vector<nghttp2_nv> fields_of(const HeaderList& headers) {
  std::vector<nghttp2_nv> out;
  out.reserve(headers.size());
  for (const HeaderField& field : headers) {
    const std::uint8_t flags = field.indexed ? NGHTTP2_NV_FLAG_NONE : NGHTTP2_NV_FLAG_NO_INDEX;
    out.push_back({bytes_of(field.name), bytes_of(field.value), field.name.size(), field.value.size(), flags});
  }
  return out;
}

}  // namespace

// From nghttp2 to events. `self` is the Http2.
struct Http2::Callbacks {
  static Http2& of(void* self) { return *static_cast<Http2*>(self); }

  static int begin_headers(nghttp2_session*, const nghttp2_frame*, void* self) {
    of(self).gathered_.clear();
    of(self).gathered_size_ = 0;
    return 0;
  }

  static int header(nghttp2_session*, const nghttp2_frame*, const std::uint8_t* name, std::size_t name_size,
                    const std::uint8_t* value, std::size_t value_size, std::uint8_t, void* self) {
    Http2& session = of(self);
    session.gathered_size_ += name_size + value_size + kFieldOverhead;
    if (session.gathered_size_ > session.limits_.header_list) {
      session.gathered_.clear();
      return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;  // resets the stream
    }
    session.gathered_.push_back(
        {.name = {reinterpret_cast<const char*>(name), name_size}, .value = {reinterpret_cast<const char*>(value), value_size}});
    return 0;
  }

  static int frame(nghttp2_session*, const nghttp2_frame* frame, void* self) {
    Http2& session = of(self);
    const StreamId stream = frame->hd.stream_id;
    const bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (frame->hd.type == NGHTTP2_HEADERS) {
      const bool first = frame->headers.cat == NGHTTP2_HCAT_REQUEST;
      if (first) session.streams_.try_emplace(stream);
      HeaderList headers = std::exchange(session.gathered_, {});
      if (first || session.role_ == Role::kClient) session.events_.on_headers(stream, std::move(headers));
    } else if (frame->hd.type != NGHTTP2_DATA) {
      return 0;
    }
    if (end && session.known(stream)) session.events_.on_end(stream);
    return 0;
  }

  static int data(nghttp2_session*, std::uint8_t, std::int32_t stream, const std::uint8_t* data, std::size_t size, void* self) {
    Http2& session = of(self);
    if (session.known(stream)) session.events_.on_data(stream, std::as_bytes(std::span(data, size)));
    else session.credit(stream, size);
    return 0;
  }

  static int closed(nghttp2_session*, std::int32_t stream, std::uint32_t code, void* self) {
    if (of(self).streams_.erase(stream) != 0) of(self).events_.on_closed(stream, code);
    return 0;
  }

  // Who has been told how it ends has nothing more to say.
  static int sent(nghttp2_session* session, const nghttp2_frame* frame, void* self) {
    if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR) of(self).broken_ = true;
    // Who has us reset his streams costs as much as who resets them (CVE-2025-8671), and nghttp2 counts only the latter.
    if (frame->hd.type == NGHTTP2_RST_STREAM && frame->rst_stream.error_code != NGHTTP2_NO_ERROR &&
        of(self).role_ == Role::kServer && ++of(self).resets_ == kResets)
      nghttp2_session_terminate_session(session, NGHTTP2_ENHANCE_YOUR_CALM);
    const bool ours = of(self).role_ == Role::kServer && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0 &&
                      (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA);
    if (ours && nghttp2_session_get_stream_remote_close(session, frame->hd.stream_id) == 0)
      nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
    return 0;
  }

  static nghttp2_ssize body(nghttp2_session* native, std::int32_t stream, std::uint8_t* into, std::size_t room,
                            std::uint32_t* flags, nghttp2_data_source*, void* self) {
    Http2& session = of(self);
    const auto found = session.streams_.find(stream);
    if (found == session.streams_.end()) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    Outgoing& outgoing = found->second;
    const std::size_t filled = session.fill(outgoing, {into, room});
    if (outgoing.messages.empty() && outgoing.finished) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      if (!outgoing.trailers.empty()) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        const auto fields = fields_of(outgoing.trailers);
        nghttp2_submit_trailer(native, stream, fields.data(), fields.size());
      }
      return static_cast<nghttp2_ssize>(filled);
    }
    if (outgoing.messages.empty() && std::exchange(outgoing.unsaid, false)) session.events_.on_sent(stream);
    if (filled != 0) return static_cast<nghttp2_ssize>(filled);
    outgoing.deferred = true;
    return NGHTTP2_ERR_DEFERRED;
  }
};

void Http2::Delete::operator()(nghttp2_session* session) const { nghttp2_session_del(session); }

Http2::Http2(Role role, const Limits& limits, Events& events) : role_(role), limits_(limits), events_(events) {
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_option* options = nullptr;
  CULVERT_CHECK(nghttp2_session_callbacks_new(&callbacks) == 0 && nghttp2_option_new(&options) == 0);
  nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, Callbacks::begin_headers);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, Callbacks::header);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, Callbacks::frame);
  nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, Callbacks::sent);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, Callbacks::data);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, Callbacks::closed);
  nghttp2_option_set_no_auto_window_update(options, 1);
  nghttp2_option_set_no_closed_streams(options, 1);
  nghttp2_option_set_max_outbound_ack(options, kAnswers);
  nghttp2_option_set_stream_reset_rate_limit(options, kResets, kResetsEachSecond);
  nghttp2_session* made = nullptr;
  const int done = role == Role::kServer ? nghttp2_session_server_new2(&made, callbacks, this, options)
                                         : nghttp2_session_client_new2(&made, callbacks, this, options);
  nghttp2_session_callbacks_del(callbacks);
  nghttp2_option_del(options);
  CULVERT_CHECK(done == 0);
  session_.reset(made);
  const nghttp2_settings_entry server[] = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits.streams},
                                           {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, limits.header_list},
                                           {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1}};
  const nghttp2_settings_entry client[] = {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
                                           {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, limits.header_list}};
  const auto settings = role == Role::kServer ? std::span<const nghttp2_settings_entry>(server) : std::span(client);
  CULVERT_CHECK(nghttp2_submit_settings(made, NGHTTP2_FLAG_NONE, settings.data(), settings.size()) == 0);
  CULVERT_CHECK(nghttp2_session_set_local_window_size(made, NGHTTP2_FLAG_NONE, 0,
                                                      static_cast<std::int32_t>(limits.connection_window)) == 0);
}

Http2::~Http2() = default;

void IdleResets::filter(std::span<const std::byte> bytes, const Pass& pass) {
  std::size_t at = 0, from = 0;  // what lies between is passed on together
  while (at < bytes.size()) {
    if (skip_ != 0) {
      const std::size_t size = std::min(skip_, bytes.size() - at);
      skip_ -= size;
      at += size;
      if (drop_) from = at;
      continue;
    }
    const std::size_t size = std::min(kHeader - header_size_, bytes.size() - at);
    std::ranges::copy(bytes.subspan(at, size), header_.begin() + static_cast<std::ptrdiff_t>(header_size_));
    header_size_ += size;
    if (header_size_ < kHeader) return pass(bytes.subspan(from, at - from));  // the rest of it decides
    header_size_ = 0;
    drop_ = harmless();
    if (drop_ || size < kHeader) {
      pass(bytes.subspan(from, at - from));
      if (!drop_) pass(header_);
      from = at + size;
    }
    at += size;
  }
  pass(bytes.subspan(from));
}

// Of a whole header; then skip_ is what comes behind it.
bool IdleResets::harmless() {
  const auto number = [&](std::size_t begin, std::size_t end) {
    std::uint32_t out = 0;
    for (std::size_t i = begin; i < end; ++i) out = out << 8 | std::to_integer<std::uint32_t>(header_[i]);
    return out;
  };
  skip_ = number(0, 3);
  const auto type = std::to_integer<std::uint8_t>(header_[3]);
  const std::uint32_t stream = number(5, 9) & 0x7fffffffU;
  if (type == NGHTTP2_HEADERS) begun_ = std::max(begun_, stream);
  return type == NGHTTP2_RST_STREAM && skip_ == 4 && stream % 2 == 1 && stream > begun_;
}

Status Http2::receive(std::span<const std::byte> bytes) {
  Status done;
  const auto take = [&](std::span<const std::byte> some) {
    if (!done || some.empty()) return;
    const auto taken = nghttp2_session_mem_recv2(session_.get(), reinterpret_cast<const std::uint8_t*>(some.data()), some.size());
    if (taken < 0) done = failure(std::string("HTTP/2: ") + nghttp2_strerror(static_cast<int>(taken)), Reason::kHttp2Failure);
  };
  if (role_ == Role::kServer) idle_resets_.filter(bytes, take);
  else take(bytes);
  return done;
}

Status Http2::output(std::vector<std::byte>& out, std::size_t enough) {
  while (out.size() < enough) {
    const std::uint8_t* data = nullptr;
    const auto size = nghttp2_session_mem_send2(session_.get(), &data);
    if (size < 0) return failure(std::string("HTTP/2: ") + nghttp2_strerror(static_cast<int>(size)), Reason::kHttp2Failure);
    if (size == 0) break;
    const auto frames = std::as_bytes(std::span(data, static_cast<std::size_t>(size)));
    out.insert(out.end(), frames.begin(), frames.end());
  }
  return {};
}

bool Http2::has_output() const { return nghttp2_session_want_write(session_.get()) != 0; }

bool Http2::over() const { return !has_output() && nghttp2_session_want_read(session_.get()) == 0; }

std::size_t Http2::fill(Outgoing& outgoing, std::span<std::uint8_t> into) {
  std::size_t filled = 0;
  while (filled < into.size() && !outgoing.messages.empty()) {
    const Pieces& message = outgoing.messages.front();
    if (outgoing.piece == message.size()) {
      outgoing.messages.pop_front();
      outgoing.piece = 0;
      continue;
    }
    const std::string& piece = *message[outgoing.piece];
    const std::size_t size = std::min(into.size() - filled, piece.size() - outgoing.offset);
    std::memcpy(into.data() + filled, piece.data() + outgoing.offset, size);
    filled += size;
    outgoing.offset += size;
    if (outgoing.offset < piece.size()) break;
    ++outgoing.piece;
    outgoing.offset = 0;
  }
  if (!outgoing.messages.empty() && outgoing.piece == outgoing.messages.front().size()) {
    outgoing.messages.pop_front();
    outgoing.piece = 0;
  }
  return filled;
}

Http2::StreamId Http2::request(const HeaderList& headers) {
  const auto fields = fields_of(headers);
  const nghttp2_data_provider2 body{.source = {}, .read_callback = Callbacks::body};
  const StreamId stream = nghttp2_submit_request2(session_.get(), nullptr, fields.data(), fields.size(), &body, nullptr);
  CULVERT_CHECK(stream > 0);  // out of numbers after a thousand million, or of memory
  streams_[stream].flowing = true;
  return stream;
}

void Http2::respond(StreamId stream, const HeaderList& headers, bool end) {
  const auto found = streams_.find(stream);
  if (found == streams_.end() || std::exchange(found->second.flowing, true)) return;
  found->second.finished = end;
  const auto fields = fields_of(headers);
  const nghttp2_data_provider2 body{.source = {}, .read_callback = Callbacks::body};
  nghttp2_submit_response2(session_.get(), stream, fields.data(), fields.size(), end ? nullptr : &body);
}

void Http2::send(StreamId stream, Pieces message) {
  const auto found = streams_.find(stream);
  if (found == streams_.end() || found->second.finished) return;
  found->second.messages.push_back(std::move(message));
  found->second.unsaid = true;
  flow(stream, found->second);
}

void Http2::finish(StreamId stream, HeaderList trailers) {
  const auto found = streams_.find(stream);
  if (found == streams_.end() || std::exchange(found->second.finished, true)) return;
  found->second.trailers = std::move(trailers);
  flow(stream, found->second);
}

void Http2::flow(StreamId stream, Outgoing& outgoing) {
  if (std::exchange(outgoing.deferred, false)) nghttp2_session_resume_data(session_.get(), stream);
}

void Http2::drop_unsent(StreamId stream) {
  const auto found = streams_.find(stream);
  if (found == streams_.end()) return;
  auto& messages = found->second.messages;
  const bool begun = found->second.piece != 0 || found->second.offset != 0;
  messages.erase(messages.begin() + (begun && !messages.empty() ? 1 : 0), messages.end());
}

void Http2::reset(StreamId stream, std::uint32_t code) {
  nghttp2_submit_rst_stream(session_.get(), NGHTTP2_FLAG_NONE, stream, code);
}

void Http2::credit(StreamId stream, std::size_t bytes) {
  if (known(stream)) nghttp2_session_consume(session_.get(), stream, bytes);
  else nghttp2_session_consume_connection(session_.get(), bytes);
}

void Http2::widen(StreamId stream, std::size_t window) {
  if (known(stream))
    nghttp2_session_set_local_window_size(session_.get(), NGHTTP2_FLAG_NONE, stream, static_cast<std::int32_t>(window));
}

void Http2::ping() { nghttp2_submit_ping(session_.get(), NGHTTP2_FLAG_NONE, nullptr); }

void Http2::announce_end() { nghttp2_submit_shutdown_notice(session_.get()); }

void Http2::end() {
  nghttp2_submit_goaway(session_.get(), NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session_.get()),
                        NGHTTP2_NO_ERROR, nullptr, 0);
}

}  // namespace culvert::http
