#pragma once
// DNS over TCP: messages with their length in front (RFC 1035 §4.2.2).

#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/net/stream.h"
#include "common/net/task.h"

namespace culvert::ztunnel::dns {

using Bytes = std::vector<std::byte>;

enum class Read : std::uint8_t {
  kWhole,
  kEnd,      // the stream ended, or broke
  kTooLong,  // longer than `most`, by what its length says: nothing of it was read
};

// Reads one message into `message`, whose memory grows as bytes come: a length alone costs nothing.
net::Task<Read> read_message(net::Stream& stream, std::size_t most, Bytes& message);

// False when the stream broke.
net::Task<bool> write_message(net::Stream& stream, Bytes message);

}  // namespace culvert::ztunnel::dns
