// The HTTP/2 engine as client and as server, fed frames that are mostly well formed, so that the deep states are reached, and
// raw bytes; in pieces of any size, with an owner that answers, sends, consumes, resets and drains in between.
#include <fuzzer/FuzzedDataProvider.h>

#include <set>

#include "common/base/check.h"
#include "common/hbone/engine.h"

using namespace culvert;
using namespace culvert::hbone;

namespace {

void append(std::vector<std::byte>& out, std::span<const std::byte> bytes) { out.insert(out.end(), bytes.begin(), bytes.end()); }

void append_frame(std::vector<std::byte>& out, FrameType type, std::uint8_t flags, std::uint32_t stream,
                  std::span<const std::byte> payload) {
  append(out, encode({.length = static_cast<std::uint32_t>(payload.size()), .type = type, .flags = flags, .stream = stream}));
  append(out, payload);
}

// The peer: makes up its frames.
struct Peer {
  FuzzedDataProvider& input;
  bool server;  // the engine's role
  http::HpackEncoder encoder{};
  std::uint32_t newest = 1;

  std::vector<std::byte> payload(std::size_t most) {
    const auto bytes = input.ConsumeBytes<std::uint8_t>(input.ConsumeIntegralInRange<std::size_t>(0, most));
    const auto view = std::as_bytes(std::span(bytes));
    return {view.begin(), view.end()};
  }
  std::vector<std::byte> number(std::uint32_t value) {
    return {std::byte(value >> 24), std::byte(value >> 16 & 0xff), std::byte(value >> 8 & 0xff), std::byte(value & 0xff)};
  }
  std::uint32_t stream() { return input.ConsumeBool() ? newest : input.ConsumeIntegralInRange<std::uint32_t>(0, 20); }

  void headers(std::vector<std::byte>& out) {
    http::HeaderList list =
        server ? http::HeaderList{{":method", "CONNECT"}, {":authority", "10.0.0.1:80"}} : http::HeaderList{{":status", "200"}};
    for (int more = input.ConsumeIntegralInRange(0, 3); more > 0; --more)
      list.push_back({input.ConsumeRandomLengthString(8), input.ConsumeRandomLengthString(16), input.ConsumeBool()});
    std::vector<std::byte> block;
    encoder.encode(list, block);
    if (server && input.ConsumeBool()) newest += 2;
    const std::uint8_t end = input.ConsumeBool() ? kEndStream : 0;
    if (input.ConsumeBool() || block.size() < 2) return append_frame(out, FrameType::kHeaders, kEndHeaders | end, newest, block);
    const std::size_t cut = input.ConsumeIntegralInRange<std::size_t>(0, block.size());
    append_frame(out, FrameType::kHeaders, end, newest, std::span(block).first(cut));
    append_frame(out, FrameType::kContinuation, kEndHeaders, newest, std::span(block).subspan(cut));
  }

  void speak(std::vector<std::byte>& out) {
    const auto flags = [this] { return input.ConsumeIntegral<std::uint8_t>(); };
    switch (input.ConsumeIntegralInRange(0, 9)) {
      case 0: return headers(out);
      case 1: return append_frame(out, FrameType::kData, flags() & (kEndStream | kPadded), stream(), payload(300));
      case 2: return append_frame(out, FrameType::kWindowUpdate, 0, stream(), number(input.ConsumeIntegral<std::uint32_t>()));
      case 3:
        return append_frame(out, FrameType::kReset, 0, stream(), number(input.ConsumeIntegralInRange<std::uint32_t>(0, 14)));
      case 4: {
        auto settings = std::vector<std::byte>{std::byte{0}, std::byte(input.ConsumeIntegralInRange(0, 8))};
        append(settings, number(input.ConsumeIntegral<std::uint32_t>() >> input.ConsumeIntegralInRange(0, 31)));
        return append_frame(out, FrameType::kSettings, 0, 0, settings);
      }
      case 5: return append_frame(out, FrameType::kPing, flags() & kAck, 0, std::vector<std::byte>(8));
      case 6: return append_frame(out, FrameType::kGoaway, 0, 0, payload(20));
      case 7: return append_frame(out, static_cast<FrameType>(flags()), flags(), stream(), payload(64));
      case 8: return append(out, payload(64));
      default:
        return append_frame(out, FrameType::kData, 0, newest,
                            std::vector<std::byte>(input.ConsumeIntegralInRange<std::size_t>(0, 20'000)));
    }
  }
};

// The owner of the engine: uses it by the rules.
struct Owner {
  FuzzedDataProvider& input;
  Engine& engine;
  std::set<std::uint32_t> streams{};
  std::set<std::uint32_t> ended{};

  void hear(Event& event) {
    switch (event.kind) {
      case Event::Kind::kRequest:
        CULVERT_CHECK(streams.insert(event.stream).second);
        if (input.ConsumeBool()) engine.respond(event.stream, http::HeaderList{{":status", "200"}}, input.ConsumeBool());
        break;
      case Event::Kind::kData:
        CULVERT_CHECK(streams.contains(event.stream));
        CULVERT_CHECK(ended.count(event.stream) == 0);
        if (event.end) ended.insert(event.stream);
        if (input.ConsumeBool()) engine.consumed(event.stream, event.data.size());
        break;
      case Event::Kind::kReset:
        CULVERT_CHECK(streams.erase(event.stream) == 1);
        CULVERT_CHECK(!engine.knows(event.stream));
        break;
      case Event::Kind::kFailed: CULVERT_CHECK(engine.failed()); break;
      default: break;
    }
  }

  void act() {
    if (engine.failed()) return;
    const auto stream = input.ConsumeIntegralInRange<std::uint32_t>(0, 20);
    switch (input.ConsumeIntegralInRange(0, 5)) {
      case 0:
        if (const auto id = engine.open(http::HeaderList{{":method", "CONNECT"}, {":authority", "a:1"}})) streams.insert(*id);
        break;
      case 1:
        if (const auto room = std::min(engine.sendable(stream), engine.max_data()); room > 0)
          engine.data(stream, input.ConsumeIntegralInRange<std::size_t>(0, room), input.ConsumeBool());
        break;
      case 2:
        engine.reset(stream, ErrorCode::kConnectError);
        streams.erase(stream);
        break;
      case 3: engine.consumed(stream, input.ConsumeIntegralInRange<std::size_t>(0, 1000), input.ConsumeBool()); break;
      case 4:
        if (input.ConsumeIntegralInRange(0, 9) == 0) engine.drain();
        else if (input.ConsumeIntegralInRange(0, 9) == 0) engine.last_call();
        break;
      default: engine.ping();
    }
  }
};

// Whatever was said to the engine, what it says is HTTP/2.
void check_output(std::span<const std::byte> output, bool client) {
  if (client) output = output.subspan(kPreface.size());
  while (!output.empty()) {
    CULVERT_CHECK(output.size() >= kFrameHeader);
    const auto header = decode_header(output.first<kFrameHeader>());
    CULVERT_CHECK(output.size() >= kFrameHeader + header.length);
    output = output.subspan(kFrameHeader + header.length);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzedDataProvider input(data, size);
  const bool server = input.ConsumeBool();
  Engine engine(server ? Engine::Role::kServer : Engine::Role::kClient, {.max_streams = 8,
                                                                         .stream_window = 70'000,
                                                                         .stream_window_cap = 200'000,
                                                                         .max_frame = 32 * 1024,
                                                                         .max_header_list = 2'000});
  Owner owner{input, engine};
  Peer peer{input, server};
  std::vector<std::byte> heard;
  if (server) append(heard, std::as_bytes(std::span(kPreface)));
  if (input.ConsumeIntegralInRange(0, 15) != 0) append_frame(heard, FrameType::kSettings, 0, 0, {});
  if (!server) owner.streams.insert(*engine.open(http::HeaderList{{":method", "CONNECT"}, {":authority", "a:1"}}));

  for (int steps = 0; input.remaining_bytes() > 0 && steps < 500; ++steps) {
    peer.speak(heard);
    const std::size_t piece = input.ConsumeBool() ? heard.size() : input.ConsumeIntegralInRange<std::size_t>(0, heard.size());
    std::span<const std::byte> rest = std::span(heard).first(piece);
    while (true) {
      Event event = engine.next(rest);
      if (event.kind == Event::Kind::kNone) break;
      owner.hear(event);
      if (input.ConsumeBool()) owner.act();
    }
    CULVERT_CHECK(rest.empty());
    heard.erase(heard.begin(), heard.begin() + static_cast<std::ptrdiff_t>(piece));
    owner.act();
  }
  check_output(engine.output(), !server);
  return 0;
}
