#pragma once
// Moves bytes between two plaintext connections until both directions have ended.

#include <cstdint>

#include "common/base/reason.h"
#include "common/net/stream.h"

namespace culvert::net {

struct Relayed {
  std::uint64_t a_to_b = 0;  // bytes delivered to the other side's kernel
  std::uint64_t b_to_a = 0;
  Reason reason = Reason::kNone;  // kPeerReset when either side reset; the other was then reset as well
};

// Each direction closes on its own: EOF of one becomes FIN of the other. A reset of either side becomes a reset of the other,
// after what had arrived was passed on. Reads into the loop's scratch, so an idle pair holds no buffer; a reader that
// stops is felt by the writer (nothing is read from one side while the other does not take it).
// Closing either stream from elsewhere ends the relay; so does destroying the task.
// The counts are written to `out` while it runs, so that a log line of a cut relay is right too.
Task<> relay(Stream& a, Stream& b, Relayed& out);

}  // namespace culvert::net
