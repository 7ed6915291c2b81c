#include "ztunnel/inbound/source_ports.h"

#include <algorithm>
#include <charconv>

namespace culvert::ztunnel {
namespace {

constexpr net::PortRange kLinuxDefault{32768, 60999};
constexpr unsigned kLowest = 16384;  // below are the ports that applications like
constexpr unsigned kHighest = 65535;
constexpr unsigned kEnough = 4096;

unsigned size(unsigned first, unsigned last) { return last >= first ? last - first + 1 : 0; }

}  // namespace

net::PortRange source_ports_outside(net::PortRange ephemeral) {
  const unsigned below = size(kLowest, ephemeral.first == 0 ? 0U : ephemeral.first - 1U);
  const unsigned above = ephemeral.last == kHighest ? 0 : size(std::max(ephemeral.last + 1U, kLowest), kHighest);
  if (std::max(below, above) < kEnough) return {kLowest, kHighest};  // no room outside: share, a taken port is replaced
  if (below >= above) return {kLowest, static_cast<std::uint16_t>(ephemeral.first - 1)};
  return {static_cast<std::uint16_t>(std::max(ephemeral.last + 1U, kLowest)), kHighest};
}

net::PortRange part_of(net::PortRange all, unsigned index, unsigned count) {
  const unsigned total = size(all.first, all.last);
  if (count == 0 || count > total) return all;
  const unsigned first = all.first + total * index / count;
  const unsigned last = all.first + total * (index + 1) / count - 1;
  return {static_cast<std::uint16_t>(first), static_cast<std::uint16_t>(last)};
}

net::PortRange parse_port_range(std::string_view text) {
  const auto number = [&text]() -> unsigned {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
    unsigned value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc()) return 0;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return value;
  };
  const unsigned first = number();
  const unsigned last = number();
  if (first == 0 || last < first || last > kHighest) return kLinuxDefault;
  return {static_cast<std::uint16_t>(first), static_cast<std::uint16_t>(last)};
}

}  // namespace culvert::ztunnel
