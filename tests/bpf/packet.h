#pragma once
// sk_lookup by BPF_PROG_TEST_RUN: a packet in, a verdict and a socket out. A test run cannot say which interface a packet came in by:
// it looks as if from the network.

#include <linux/types.h>
#include <netinet/in.h>

#include <cstdint>
#include <utility>

namespace culvert::bpf_test {

struct Packet {
  int protocol = IPPROTO_TCP;
  const char* source;
  const char* destination;
  std::uint16_t port = 80;
  std::uint16_t source_port = 40000;
};

// In place of a cookie: a socket of a SO_REUSEPORT group, of which a test run does not choose one.
inline constexpr __u64 kOneOfAGroup = ~__u64{0};

// The verdict of an sk_lookup program, and the cookie of the socket that it assigned: 0 when nobody's.
std::pair<int, __u64> run_lookup(int program, const Packet& packet);

}  // namespace culvert::bpf_test
