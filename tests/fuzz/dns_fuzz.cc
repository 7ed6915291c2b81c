// Any bytes from a pod: the parser must not fail in any other way than by its Result, and what we answer must be a message again.
#include <cstddef>
#include <cstdint>
#include <span>

#include "common/base/check.h"
#include "ztunnel/dns/message.h"
#include "ztunnel/dns/names.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace dns = culvert::ztunnel::dns;
  const auto bytes = std::as_bytes(std::span(data, size));
  static_cast<void>(dns::query_id(bytes));
  const auto query = dns::parse_query(bytes);
  if (!query) return 0;

  for (const auto& candidate : dns::candidates(query->name, "default", "cluster.local"))
    static_cast<void>(dns::wildcards(candidate.name));
  const dns::Answer answer{.canonical_name = query->name, .addresses = {culvert::IpAddress::v4(1), culvert::IpAddress::v4(2)}};
  const std::size_t limit = dns::udp_limit(*query);
  const auto out = dns::encode(*query, answer, limit);
  CULVERT_CHECK(out.size() <= limit);
  CULVERT_CHECK(out.size() >= 12 + query->question.size());
  return 0;
}
