#include "ztunnel/inbound/source_ports.h"

#include <gtest/gtest.h>

namespace culvert::net {
bool operator==(const PortRange& a, const PortRange& b) { return a.first == b.first && a.last == b.last; }
}  // namespace culvert::net

namespace culvert::ztunnel {
namespace {

using net::PortRange;

TEST(SourcePorts, LieAboveTheEphemeralRangeAndGoOnBelow) {
  const auto [own, more] = source_ports({32768, 60999}, 0, 1);

  EXPECT_EQ(own, (PortRange{61000, 65535}));
  EXPECT_EQ(more, (PortRange{16384, 32767}));
}

TEST(SourcePorts, AreOnTheSideThatHasRoom) {
  EXPECT_EQ(source_ports({1024, 40000}, 0, 1).own, (PortRange{40001, 65535}));
  EXPECT_EQ(source_ports({1024, 40000}, 0, 1).more, (PortRange{40001, 65535}));
  EXPECT_EQ(source_ports({49152, 65535}, 0, 1).own, (PortRange{16384, 49151}));
  EXPECT_EQ(source_ports({49152, 65535}, 0, 1).more, (PortRange{16384, 49151}));
}

TEST(SourcePorts, ShareWhenTheEphemeralRangeTakesAll) {
  EXPECT_EQ(source_ports({1024, 65535}, 0, 1).own, (PortRange{16384, 65535}));
  EXPECT_EQ(source_ports({1, 65535}, 0, 1).more, (PortRange{16384, 65535}));
}

TEST(SourcePorts, OfOneClientAreAsManyWhateverTheNumberOfWorkers) {
  for (const unsigned index : {0U, 15U}) EXPECT_EQ(source_ports({32768, 60999}, index, 16).more, (PortRange{16384, 32767}));
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
