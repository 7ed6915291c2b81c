#include "ztunnel/inbound/source_ports.h"

#include <gtest/gtest.h>

namespace culvert::net {
bool operator==(const PortRange& a, const PortRange& b) { return a.first == b.first && a.last == b.last; }
}  // namespace culvert::net

namespace culvert::ztunnel {
namespace {

using net::PortRange;

TEST(SourcePorts, LieOutsideTheEphemeralRange) {
  EXPECT_EQ(source_ports_outside({32768, 60999}), (PortRange{16384, 32767}));
  EXPECT_EQ(source_ports_outside({1024, 40000}), (PortRange{40001, 65535}));
  EXPECT_EQ(source_ports_outside({49152, 65535}), (PortRange{16384, 49151}));
}

TEST(SourcePorts, ShareWhenTheEphemeralRangeTakesAll) {
  EXPECT_EQ(source_ports_outside({1024, 65535}), (PortRange{16384, 65535}));
  EXPECT_EQ(source_ports_outside({1, 65535}), (PortRange{16384, 65535}));
}

TEST(SourcePorts, PartsOfWorkersCoverTheRangeWithoutOverlap) {
  for (const unsigned count : {1U, 2U, 3U, 7U}) {
    unsigned next = 16384;
    for (unsigned index = 0; index < count; ++index) {
      const auto part = part_of({16384, 32767}, index, count);
      EXPECT_EQ(part.first, next);
      EXPECT_LE(part.first, part.last);
      next = part.last + 1U;
    }
    EXPECT_EQ(next, 32768U);
  }
}

TEST(SourcePorts, ReadsTheKernelsText) {
  EXPECT_EQ(parse_port_range("1024\t2048\n"), (PortRange{1024, 2048}));
  EXPECT_EQ(parse_port_range("nonsense"), (PortRange{32768, 60999}));
  EXPECT_EQ(parse_port_range("5000 100"), (PortRange{32768, 60999}));
}

}  // namespace
}  // namespace culvert::ztunnel
