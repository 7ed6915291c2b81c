#pragma once
// HTTP/2 frames by hand, and engines that have said hello, for tests.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/format.h"
#include "common/hbone/engine.h"

namespace culvert::hbone::frames {

using Kind = Event::Kind;
using Bytes = std::vector<std::byte>;

inline Bytes bytes(std::string_view text) {
  const auto span = std::as_bytes(std::span(text));
  return {span.begin(), span.end()};
}

inline Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

inline Bytes u32(std::uint32_t value) {
  return {std::byte(value >> 24), std::byte(value >> 16 & 0xff), std::byte(value >> 8 & 0xff), std::byte(value & 0xff)};
}

inline Bytes frame(FrameType type, std::uint8_t flags, std::uint32_t stream, const Bytes& payload = {}) {
  const auto header =
      encode({.length = static_cast<std::uint32_t>(payload.size()), .type = type, .flags = flags, .stream = stream});
  return Bytes(header.begin(), header.end()) + payload;
}

inline Bytes setting(Setting id, std::uint32_t value) { return Bytes{std::byte{0}, static_cast<std::byte>(id)} + u32(value); }

inline Bytes block(const http::HeaderList& headers) {
  http::HpackEncoder encoder;  // a fresh table every time: what it adds, the decoder forgets or never asks for
  Bytes out;
  auto plain = headers;
  for (auto& header : plain) header.indexed = false;
  encoder.encode(plain, out);
  return out;
}

inline const http::HeaderList kConnect = {{":method", "CONNECT"}, {":authority", "10.0.0.1:80"}};
inline const Bytes kHello = bytes(kPreface) + frame(FrameType::kSettings, 0, 0);

// What happened, a line an event; DATA as text.
inline std::string read(Engine& engine, std::span<const std::byte> input) {
  std::string log;
  while (true) {
    const Event event = engine.next(input);
    const auto line = [&](const std::string& text) { log += (log.empty() ? "" : " ") + text + (event.end ? "." : ""); };
    switch (event.kind) {
      case Kind::kNone: return log;
      case Kind::kRequest: line(culvert::format("request{}", event.stream)); break;
      case Kind::kResponse: line(culvert::format("response{}={}", event.stream, event.headers.at(0).value)); break;
      case Kind::kData:
        line(culvert::format("data{}={}", event.stream,
                             std::string_view(reinterpret_cast<const char*>(event.data.data()), event.data.size())));
        break;
      case Kind::kReset: line(culvert::format("reset{}={}", event.stream, name(event.code))); break;
      case Kind::kRoom: line(culvert::format("room{}", event.stream)); break;
      case Kind::kPong: line("pong"); break;
      case Kind::kDrained: line("drained"); break;
      case Kind::kGoaway: line(culvert::format("goaway{}={}", event.stream, name(event.code))); break;
      case Kind::kFailed: line(culvert::format("failed={}", name(event.code))); break;
    }
  }
}

inline std::string read(Engine& engine, const Bytes& input) { return read(engine, std::span<const std::byte>(input)); }

// The frames in output(), by name, and empties it.
inline std::string said(Engine& engine) {
  std::string log;
  auto& out = engine.output();
  std::span<const std::byte> rest = out;
  const auto preface = std::as_bytes(std::span(kPreface));
  if (rest.size() >= preface.size() && std::ranges::equal(rest.first(preface.size()), preface))
    rest = rest.subspan(preface.size());
  static constexpr std::string_view kNames[] = {"DATA", "HEADERS", "PRIORITY", "RST",    "SETTINGS",
                                                "PUSH", "PING",    "GOAWAY",   "WINDOW", "CONT"};
  while (rest.size() >= kFrameHeader) {
    const auto header = decode_header(rest.first<kFrameHeader>());
    const auto payload = rest.subspan(kFrameHeader, header.length);
    log += (log.empty() ? "" : " ") + std::string(kNames[static_cast<int>(header.type)]) + std::to_string(header.stream);
    if (header.type == FrameType::kReset) log += "=" + std::string(name(static_cast<ErrorCode>(read_u32(payload))));
    if (header.type == FrameType::kWindowUpdate) log += "+" + std::to_string(read_u32(payload));
    if (header.type == FrameType::kGoaway)
      log +=
          "=" + std::to_string(read_u32(payload)) + "," + std::string(name(static_cast<ErrorCode>(read_u32(payload.subspan(4)))));
    if (header.has(kAck) && (header.type == FrameType::kSettings || header.type == FrameType::kPing)) log += "!";
    if (header.has(kEndStream) && (header.type == FrameType::kHeaders || header.type == FrameType::kData)) log += ".";
    rest = rest.subspan(kFrameHeader + header.length);
  }
  out.clear();
  return log;
}

// A server that has read a client's hello, with nothing in output().
struct Server {
  Engine engine;
  explicit Server(EngineOptions options = {}) : engine(Engine::Role::kServer, options) {
    read(engine, kHello);
    engine.output().clear();
  }
  std::string request(std::uint32_t id, std::uint8_t flags = 0) {
    return read(engine, frame(FrameType::kHeaders, kEndHeaders | flags, id, block(kConnect)));
  }
};

// A client with one request sent and the server's SETTINGS read.
struct Client {
  Engine engine;
  std::uint32_t id;
  explicit Client(EngineOptions options = {}, const Bytes& settings = {}) : engine(Engine::Role::kClient, options) {
    id = *engine.open(kConnect);
    read(engine, frame(FrameType::kSettings, 0, 0, settings));
    engine.output().clear();
  }
  std::string answer(std::string status = "200", std::uint8_t flags = 0) {
    return read(engine, frame(FrameType::kHeaders, kEndHeaders | flags, id, block({{":status", status}})));
  }
};

inline Bytes data(Engine& engine, std::uint32_t id, std::string_view text, bool end = false) {
  const auto header = engine.data(id, text.size(), end);
  return Bytes(header.begin(), header.end()) + bytes(text);
}

}  // namespace culvert::hbone::frames
