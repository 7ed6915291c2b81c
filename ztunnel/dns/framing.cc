#include "ztunnel/dns/framing.h"

#include <algorithm>
#include <array>

namespace culvert::ztunnel::dns {

net::Task<Read> read_message(net::Stream& stream, std::size_t most, Bytes& message) {
  message.clear();
  std::array<std::byte, 2> length{};
  for (std::size_t got = 0; got < length.size();) {
    const auto io = co_await stream.read(std::span(length).subspan(got));
    if (!io.ok()) co_return Read::kEnd;
    got += io.bytes;
  }
  const std::size_t whole = std::to_integer<std::size_t>(length[0]) << 8 | std::to_integer<std::size_t>(length[1]);
  if (whole > most) co_return Read::kTooLong;
  while (message.size() < whole) {
    const auto scratch = stream.loop().scratch();  // filled after the wait, and taken out before the next
    const auto io = co_await stream.read(scratch.first(std::min(whole - message.size(), scratch.size())));
    if (!io.ok()) co_return Read::kEnd;
    message.insert(message.end(), scratch.begin(), scratch.begin() + static_cast<std::ptrdiff_t>(io.bytes));
  }
  co_return Read::kWhole;
}

net::Task<bool> write_message(net::Stream& stream, Bytes message) {
  const std::array length = {static_cast<std::byte>(message.size() >> 8), static_cast<std::byte>(message.size() & 0xff)};
  message.insert(message.begin(), length.begin(), length.end());
  const auto io = co_await stream.write_all(message);
  co_return io.ok();
}

}  // namespace culvert::ztunnel::dns
