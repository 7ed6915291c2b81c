// Our HTTP/2 engine against nghttp2's sessions, in memory: an implementation that was not written by us on the other side.
#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <string>

#include "common/hbone/engine.h"

namespace culvert::hbone {
namespace {

// A session of nghttp2, and what it heard.
class Peer {
 public:
  struct Stream {
    http::HeaderList headers;
    std::string heard;
    bool ended = false;  // END_STREAM
    bool closed = false;
    std::uint32_t code = 0;  // of the close
    std::string to_say;
    bool say_end = false;
  };

  explicit Peer(bool server) {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(
        callbacks, [](nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name, std::size_t name_size,
                      const std::uint8_t* value, std::size_t value_size, std::uint8_t, void* self) {
          of(self).streams[frame->hd.stream_id].headers.push_back(
              {{reinterpret_cast<const char*>(name), name_size}, {reinterpret_cast<const char*>(value), value_size}});
          return 0;
        });
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
        callbacks, [](nghttp2_session*, std::uint8_t, std::int32_t id, const std::uint8_t* data, std::size_t size, void* self) {
          of(self).streams[id].heard.append(reinterpret_cast<const char*>(data), size);
          return 0;
        });
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, [](nghttp2_session*, const nghttp2_frame* frame, void* self) {
      if ((frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        of(self).streams[frame->hd.stream_id].ended = true;
      if (frame->hd.type == NGHTTP2_GOAWAY) of(self).heard_goaway = frame->goaway.error_code;
      if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK)) of(self).pongs++;
      return 0;
    });
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks,
                                                           [](nghttp2_session*, std::int32_t id, std::uint32_t code, void* self) {
                                                             of(self).streams[id].closed = true;
                                                             of(self).streams[id].code = code;
                                                             return 0;
                                                           });
    if (server) nghttp2_session_server_new(&session_, callbacks, this);
    else nghttp2_session_client_new(&session_, callbacks, this);
    nghttp2_session_callbacks_del(callbacks);
    const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 10},
                                               {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 40'000}};
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, std::size(settings));
  }
  ~Peer() { nghttp2_session_del(session_); }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  std::int32_t connect(std::string say) {
    const auto provider = source();
    const nghttp2_nv headers[] = {field(":method", "CONNECT"), field(":authority", "10.0.0.1:80"),
                                  field("baggage", "k8s.cluster.name=c")};
    const auto id = nghttp2_submit_request2(session_, nullptr, headers, std::size(headers), &provider, nullptr);
    streams[id].to_say = std::move(say);
    streams[id].say_end = true;
    return id;
  }
  void answer(std::int32_t id, std::string say) {
    const auto provider = source();
    const nghttp2_nv headers[] = {field(":status", "200")};
    streams[id].to_say = std::move(say);
    streams[id].say_end = true;
    nghttp2_submit_response2(session_, id, headers, std::size(headers), &provider);
  }
  void reset(std::int32_t id, std::uint32_t code) { nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, code); }
  void ping() { nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr); }
  void goaway() {
    nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session_), NGHTTP2_NO_ERROR,
                          nullptr, 0);
  }

  // False when nghttp2 finds fault with what we sent.
  bool hear(std::span<const std::byte> bytes) {
    return nghttp2_session_mem_recv2(session_, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()) ==
           static_cast<nghttp2_ssize>(bytes.size());
  }
  std::vector<std::byte> say() {
    std::vector<std::byte> all;
    const std::uint8_t* data = nullptr;
    for (nghttp2_ssize size = 0; (size = nghttp2_session_mem_send2(session_, &data)) > 0;)
      all.insert(all.end(), reinterpret_cast<const std::byte*>(data), reinterpret_cast<const std::byte*>(data) + size);
    return all;
  }

  std::map<std::int32_t, Stream> streams;
  std::optional<std::uint32_t> heard_goaway;
  int pongs = 0;

 private:
  static Peer& of(void* self) { return *static_cast<Peer*>(self); }
  static nghttp2_nv field(const char* name, const char* value) {
    return {reinterpret_cast<std::uint8_t*>(const_cast<char*>(name)), reinterpret_cast<std::uint8_t*>(const_cast<char*>(value)),
            std::strlen(name), std::strlen(value), NGHTTP2_NV_FLAG_NONE};
  }
  static nghttp2_data_provider2 source() {
    return {.source = {},
            .read_callback = [](nghttp2_session*, std::int32_t id, std::uint8_t* buffer, std::size_t size, std::uint32_t* flags,
                                nghttp2_data_source*, void* self) -> nghttp2_ssize {
              Stream& stream = of(self).streams[id];
              const auto count = std::min(size, stream.to_say.size());
              std::ranges::copy(stream.to_say.substr(0, count), buffer);
              stream.to_say.erase(0, count);
              if (stream.to_say.empty()) *flags |= NGHTTP2_DATA_FLAG_EOF;
              return static_cast<nghttp2_ssize>(count);
            }};
  }

  nghttp2_session* session_ = nullptr;
};

// Our side: says `text` on every stream and then its end, collects what it hears, consumes at once.
class Ours {
 public:
  Ours(Engine::Role role, std::string text) : engine(role, {}), text_(std::move(text)) {}

  void hear(std::span<const std::byte> bytes) {
    while (true) {
      Event event = engine.next(bytes);
      switch (event.kind) {
        case Event::Kind::kNone: return;
        case Event::Kind::kRequest:
          headers = event.headers;
          if (answering) engine.respond(event.stream, http::HeaderList{{":status", "200"}}, false);
          sent.try_emplace(event.stream, 0);
          break;
        case Event::Kind::kResponse: headers = event.headers; break;
        case Event::Kind::kData:
          heard.append(reinterpret_cast<const char*>(event.data.data()), event.data.size());
          engine.consumed(event.stream, event.data.size());
          ended |= event.end;
          break;
        case Event::Kind::kReset: reset = event.code; break;
        case Event::Kind::kGoaway: goaway = true; break;
        case Event::Kind::kFailed: failure = event.error.text; break;
        default: break;
      }
    }
  }

  std::vector<std::byte> say() {
    for (auto& [id, at] : sent) {
      if (at > text_.size()) continue;
      for (std::size_t room = 0;
           at < text_.size() && (room = std::min({engine.sendable(id), engine.max_data(), text_.size() - at})) > 0; at += room) {
        put(engine.data(id, room, false));
        const auto part = std::as_bytes(std::span(text_)).subspan(at, room);
        engine.output().insert(engine.output().end(), part.begin(), part.end());
      }
      if (at == text_.size() && engine.knows(id)) {
        put(engine.data(id, 0, true));
        ++at;
      }
    }
    return std::exchange(engine.output(), {});
  }

  Engine engine;
  bool answering = true;
  http::HeaderList headers;
  std::string heard;
  std::string failure;
  bool ended = false;
  bool goaway = false;
  std::optional<ErrorCode> reset;
  std::map<std::uint32_t, std::size_t> sent;  // how much of the text, per stream; past it: its end as well

 private:
  void put(const FrameHeaderBytes& header) { engine.output().insert(engine.output().end(), header.begin(), header.end()); }
  std::string text_;
};

// Until neither has anything to say.
void talk(Ours& ours, Peer& peer) {
  for (int quiet = 0; quiet < 2;) {
    const auto question = ours.say();
    ASSERT_TRUE(peer.hear(question));
    const auto answer = peer.say();
    ours.hear(answer);
    quiet = question.empty() && answer.empty() ? quiet + 1 : 0;
  }
}

std::string text(std::size_t size, char first) {
  std::string made(size, ' ');
  for (std::size_t i = 0; i < size; ++i) made[i] = static_cast<char>(first + i % 23);
  return made;
}

TEST(Nghttp2, IsServed) {
  Ours ours(Engine::Role::kServer, text(900'000, 'a'));
  Peer peer(false);
  const auto id = peer.connect(text(1'500'000, 'A'));

  talk(ours, peer);

  EXPECT_EQ(ours.failure, "");
  EXPECT_EQ(ours.headers,
            (http::HeaderList{{":method", "CONNECT"}, {":authority", "10.0.0.1:80"}, {"baggage", "k8s.cluster.name=c"}}));
  EXPECT_EQ(ours.heard, text(1'500'000, 'A'));
  EXPECT_TRUE(ours.ended);
  EXPECT_EQ(peer.streams[id].headers, (http::HeaderList{{":status", "200"}}));
  EXPECT_EQ(peer.streams[id].heard, text(900'000, 'a'));
  EXPECT_TRUE(peer.streams[id].closed);
  EXPECT_EQ(peer.streams[id].code, 0u);
}

TEST(Nghttp2, Serves) {
  Ours ours(Engine::Role::kClient, text(1'500'000, 'a'));
  Peer peer(true);
  const auto id =
      *ours.engine.open(http::HeaderList{{":method", "CONNECT"}, {":authority", "10.0.0.1:80"}, {"traceparent", "x", false}});
  ours.sent[id] = 0;
  ASSERT_TRUE(peer.hear(ours.say()));

  peer.answer(static_cast<std::int32_t>(id), text(900'000, 'A'));
  talk(ours, peer);

  EXPECT_EQ(ours.failure, "");
  EXPECT_EQ(ours.headers, (http::HeaderList{{":status", "200"}}));
  EXPECT_EQ(ours.heard, text(900'000, 'A'));
  EXPECT_EQ(peer.streams[1].heard, text(1'500'000, 'a'));
  EXPECT_TRUE(peer.streams[1].closed);
  EXPECT_EQ(ours.engine.open_room(), 10u);  // its limit
}

TEST(Nghttp2, IsRefusedWithHeadersAlone) {
  Ours ours(Engine::Role::kServer, "");
  ours.answering = false;
  Peer peer(false);
  const auto id = peer.connect(text(500'000, 'A'));
  ours.hear(peer.say());
  ours.sent.clear();

  ours.engine.respond(static_cast<std::uint32_t>(id), http::HeaderList{{":status", "401"}}, true);
  talk(ours, peer);

  EXPECT_EQ(peer.streams[id].headers.at(0).value, "401");
  EXPECT_TRUE(peer.streams[id].ended);
  EXPECT_TRUE(peer.streams[id].closed);
  EXPECT_EQ(ours.engine.stream_count(), 0u);
}

TEST(Nghttp2, UnderstandsResetsPingsAndGoaway) {
  Ours ours(Engine::Role::kServer, text(10'000'000, 'a'));
  Peer peer(false);
  const auto first = peer.connect(text(10, 'A'));
  const auto second = peer.connect(text(10, 'A'));
  ours.hear(peer.say());
  EXPECT_TRUE(peer.hear(ours.say()));

  ours.engine.reset(static_cast<std::uint32_t>(first), ErrorCode::kConnectError);
  peer.reset(second, NGHTTP2_CANCEL);
  peer.ping();
  ours.engine.ping();
  ours.sent.clear();
  talk(ours, peer);
  ours.engine.drain();
  talk(ours, peer);

  EXPECT_EQ(peer.streams[first].code, static_cast<std::uint32_t>(NGHTTP2_CONNECT_ERROR));
  EXPECT_EQ(ours.reset, ErrorCode::kCancel);
  EXPECT_EQ(peer.pongs, 1);
  EXPECT_EQ(peer.heard_goaway, 0u);
  EXPECT_EQ(ours.failure, "");
}

// As Istio's proxy, nghttp2 counts on it: what it sent before it could hear of the end is served.
TEST(Nghttp2, IsServedWhatIsOnItsWayDuringADrain) {
  Ours ours(Engine::Role::kServer, text(100'000, 'a'));
  Peer peer(false);
  peer.connect(text(10, 'A'));
  talk(ours, peer);

  ours.engine.drain();
  const auto late = peer.connect(text(100'000, 'A'));
  ours.hear(peer.say());
  talk(ours, peer);

  EXPECT_EQ(peer.streams[late].heard, text(100'000, 'a'));
  EXPECT_EQ(peer.streams[late].code, 0u);
  EXPECT_TRUE(ours.engine.drained());
  EXPECT_EQ(peer.heard_goaway, 0u);
  EXPECT_EQ(ours.failure, "");
}

TEST(Nghttp2, HearsItsGoaway) {
  Ours ours(Engine::Role::kClient, "x");
  Peer peer(true);
  ours.sent[*ours.engine.open(http::HeaderList{{":method", "CONNECT"}, {":authority", "10.0.0.1:80"}})] = 0;
  talk(ours, peer);

  peer.goaway();
  talk(ours, peer);

  EXPECT_TRUE(ours.goaway);
  EXPECT_EQ(ours.engine.open_room(), 0u);
  EXPECT_EQ(ours.failure, "");
}

}  // namespace
}  // namespace culvert::hbone
