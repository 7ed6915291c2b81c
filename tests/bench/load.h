#pragma once
// The bench's own load generator: one thread, epoll, a server and a few kinds of client. It measures; it decides nothing.
//
// A connection opens with one byte that says what it is for:
//   'R'  round trips: every kRequest bytes are answered with kRequest bytes, until the client closes
//   'U'  upload: everything is read; at the end of file the number of bytes is answered as 8 bytes, network order
//   'D'  download: followed by 8 bytes, network order, the number of bytes wanted; then the server closes

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace culvert::bench {

constexpr std::size_t kRequest = 1024;
constexpr std::size_t kChunk = 256 * 1024;
constexpr int kPatience = 5;  // seconds without an answer, after which a connection hangs

struct Target {
  std::string host;  // a literal address
  std::uint16_t port = 0;
};

// What a client saw. Latencies in nanoseconds, as the answers came.
struct Seen {
  std::uint64_t count = 0;  // round trips, connections or bytes
  std::uint64_t errors = 0;
  std::map<std::string, std::uint64_t> kinds = {};  // the same errors by what failed and why: "connect: Connection refused"
  double seconds = 0;
  std::vector<std::uint32_t> latencies = {};
  std::vector<double> asked = {};  // when each of them began, in seconds of CLOCK_MONOTONIC, which all namespaces share

  void failed(const std::string& kind) { ++errors, ++kinds[kind]; }
};

[[noreturn]] void serve(std::uint16_t port);
// Passes one connection after the other on, and does nothing else: what any proxy in its place costs at least.
[[noreturn]] void relay(std::uint16_t port, const Target& target);

Seen upload(const Target& target, double seconds);
Seen download(const Target& target, std::uint64_t bytes);
// Closed loop: every connection sends its next request as soon as it has the answer. When time is up, what is still under way has kPatience
// to come to its end; what does not is an error, here and in churn().
Seen round_trips(const Target& target, int connections, double seconds);
// Connect, one round trip, close; `concurrency` at a time.
Seen churn(const Target& target, int concurrency, double seconds);
// Opens `connections`, does one round trip on each, says "ready" on standard output and holds them until standard input ends. Then each has
// to answer once more: an error otherwise. With `watch` it says "cut" as soon as the first of them ends, "not cut" after ten seconds, and asks nothing more.
Seen hold(const Target& target, int connections, bool watch);

}  // namespace culvert::bench
