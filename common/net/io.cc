#include "common/net/io.h"

namespace culvert::net {

std::string Io::text() const {
  switch (state) {
    case kOk: return "ok";
    case kWouldBlock: return "nothing to do now";
    case kEof: return "the peer closed the connection";
    case kReset: return "the peer reset the connection";
    case kError: return errno_text(error);
  }
  return "ok";
}

Error Io::failure() const { return {text(), state == kReset ? Reason::kPeerReset : Reason::kInternal}; }

}  // namespace culvert::net
