#pragma once
// The messages between node agent and ztunnel (protocols.md §5.1), as values and as bytes. One message is one packet of a
// SOCK_SEQPACKET unix socket; an Add carries the pod's network namespace as a descriptor beside it, no other message carries one.

#include <cstddef>
#include <string>
#include <string_view>
#include <variant>

#include "common/base/result.h"

namespace culvert::zds {

inline constexpr std::size_t kMaxPacket = 1024;

// A pod as ztunnel needs to know it. `uid` is Kubernetes' and names the pod in every message.
struct Pod {
  std::string uid;
  std::string name;
  std::string name_space;
  std::string service_account;

  friend bool operator==(const Pod&, const Pod&) = default;
};

struct Add {
  Pod pod;
};
struct Keep {  // the agent knows the pod and no longer has its namespace: what runs for it stays
  std::string uid;
};
struct Del {
  std::string uid;
};
struct SnapshotSent {};  // all pods have been named since connecting: what was not is stopped
using Request = std::variant<Add, Keep, Del, SnapshotSent>;

// Fails only when the packet would be longer than kMaxPacket.
Result<std::string> encode(const Request& request);
Result<Request> decode_request(std::string_view packet);

std::string encode_hello();
Status decode_hello(std::string_view packet);  // fails on a version that we do not speak

// An empty error is success. A text that does not fit is cut.
std::string encode_ack(std::string_view error);
Result<std::string> decode_ack(std::string_view packet);  // the error it carries

}  // namespace culvert::zds
