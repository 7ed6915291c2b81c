#pragma once
// The outcome of one read or write that did not wait.

#include <cstddef>
#include <cstdint>
#include <string>

#include "common/base/result.h"

namespace culvert::net {

struct Io {
  enum class State : std::uint8_t {
    kOk,          // `bytes` were moved, at least one unless nothing was asked for
    kWouldBlock,  // nothing could be moved now
    kEof,         // reading: the peer has shut down its side, cleanly
    kReset,       // the peer reset the connection; every byte that arrived before has been read
    kError,       // `error` (an errno value) says what; ECANCELED after our own close()
  };
  using enum State;

  State state = kOk;
  int error = 0;
  std::size_t bytes = 0;

  bool ok() const { return state == kOk; }
  std::string text() const;  // "connection reset by the peer"
  Error failure() const;     // the same as an Error, with kPeerReset for a reset; not for kOk
};

}  // namespace culvert::net
