#pragma once
// DNS messages, as far as the proxy must understand them: it parses queries (RFC 1035 §4, EDNS of RFC 6891) and prints the answers that it
// gives itself. Whatever it does not answer is forwarded byte for byte, so nothing else is ever decoded. Sans-I/O, no state.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/address.h"
#include "common/base/result.h"

namespace culvert::ztunnel::dns {

inline constexpr std::uint16_t kTypeA = 1;
inline constexpr std::uint16_t kTypeAaaa = 28;

inline constexpr std::size_t kMaxMessage = 65535;
inline constexpr std::size_t kPlainUdpPayload = 512;

enum class Rcode : std::uint8_t { kNoError = 0, kFormatError = 1, kServerFailure = 2, kNotImplemented = 4 };

// A query with exactly one question of class IN and opcode QUERY.
struct Query {
  std::uint16_t id = 0;
  bool recursion_desired = false;
  bool checking_disabled = false;
  std::uint16_t type = 0;
  std::string name = {};                           // lower case, no final dot; bytes that no host name has are written \DDD
  std::vector<std::byte> question = {};            // the question as the client wrote it, echoed so that its case is kept
  std::optional<std::uint16_t> edns_payload = {};  // the client's UDP payload size, when it sent EDNS
};

// Fails with a text for anything that is not such a query: a response, several questions, a broken name, bytes after the end.
Result<Query> parse_query(std::span<const std::byte> message);

// The id of a message that may be broken, and whether it is a query that deserves an answer at all.
std::optional<std::uint16_t> query_id(std::span<const std::byte> message);

struct Answer {
  Rcode rcode = Rcode::kNoError;
  bool authoritative = true;
  std::string canonical_name = {};        // not empty: a CNAME from the question's name to this one, which owns the addresses
  std::vector<IpAddress> addresses = {};  // all of the family that was asked for
  std::uint32_t ttl_seconds = 30;
};

// Prints the answer. Records that do not fit into `limit` bytes are left out and TC is set, so that the client asks again over TCP.
std::vector<std::byte> encode(const Query& query, const Answer& answer, std::size_t limit);

// What a client is told over UDP when the resolver's `reply` does not fit: its header, the question, no records, and TC.
std::vector<std::byte> encode_truncated(const Query& query, std::span<const std::byte> reply);

// An answer without question and records, for a query that could not be parsed.
std::vector<std::byte> encode_failure(std::uint16_t id, Rcode rcode);

// How many bytes of answer the client of this query takes over UDP.
std::size_t udp_limit(const Query& query);

}  // namespace culvert::ztunnel::dns
