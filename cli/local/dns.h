#pragma once
// The cluster's DNS: a zone held in memory and the answer to one query (RFC 1035). Sans-I/O; `serve_dns` puts sockets around it.
// It answers for what the zone holds, and NXDOMAIN for everything else: there is no outside.

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/address.h"
#include "common/base/result.h"

namespace culvert::local {

class Zone {
 public:
  // Lines "NAME A ADDRESS", "NAME AAAA ADDRESS", "NAME SRV PORT TARGET", "NAME NAME ." (exists, and no more). Lines that are none of these are left out.
  static Zone parse(std::string_view text);

  struct Service {
    std::uint16_t port = 0;
    std::string target;
  };
  struct Records {
    std::vector<IpAddress> addresses;
    std::vector<Service> services;
  };
  // Names in lower case without a final dot.
  const Records* find(std::string_view name) const;
  // True when a name ends in ".NAME": it exists, though it has no records of its own.
  bool is_parent(std::string_view name) const;

 private:
  std::map<std::string, Records, std::less<>> names_;
  std::set<std::string, std::less<>> parents_;
};

// The answer to `query`, at most `limit` bytes (truncated beyond that, with the bit that says so); empty when the query deserves none.
// `turn` rotates the addresses, so that several are used in turn.
std::vector<std::uint8_t> answer_dns(const Zone& zone, std::span<const std::uint8_t> query, std::size_t limit, unsigned turn);

// Serves the zone in `file` (read again when it is replaced) on UDP and TCP port 53 of `addresses`, until it is killed.
Status serve_dns(const std::string& file, const std::vector<IpAddress>& addresses);

}  // namespace culvert::local
