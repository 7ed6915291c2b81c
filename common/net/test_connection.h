#pragma once
// A connection over loopback and what comes of it, for tests.

#include <gtest/gtest.h>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/net/dial.h"
#include "common/net/listener.h"
#include "common/net/stream.h"

namespace culvert::net {

inline std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

// A connection over loopback: `client` dialled, `server` accepted.
struct Connection {
  Stream client;
  Stream server;
};

inline Task<Connection> connect(Loop& loop, Listener& listener) {
  auto client = co_await dial(loop, {.to = listener.local()});
  auto server = co_await listener.accept();
  EXPECT_TRUE(client.has_value() && server.has_value());
  co_return Connection{std::move(*client), std::move(*server)};
}

inline Task<std::string> read_all(Stream& stream, Io* end = nullptr) {
  std::string text;
  std::vector<std::byte> buffer(64 * 1024);
  for (;;) {
    const Io io = co_await stream.read(buffer);
    if (end != nullptr) *end = io;
    if (!io.ok()) co_return text;
    text.append(reinterpret_cast<const char*>(buffer.data()), io.bytes);
  }
}

}  // namespace culvert::net
