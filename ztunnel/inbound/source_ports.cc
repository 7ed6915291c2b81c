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

SourcePorts source_ports(net::PortRange ephemeral, unsigned index, unsigned count) {
  const auto range = [](unsigned first, unsigned last) {
    return net::PortRange{static_cast<std::uint16_t>(first), static_cast<std::uint16_t>(last)};
  };
  const unsigned under = ephemeral.first == 0 ? 0U : ephemeral.first - 1U, over = std::max(ephemeral.last + 1U, kLowest);
  const auto below = range(kLowest, under), above = range(over, kHighest), all = range(kLowest, kHighest);
  const bool room_below = size(kLowest, under) >= kEnough, room_above = size(over, kHighest) >= kEnough;
  if (room_above) return {part_of(above, index, count), room_below ? below : above};
  if (room_below) return {part_of(below, index, count), below};
  return {part_of(all, index, count), all};  // no room outside: share, a taken port is replaced
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
