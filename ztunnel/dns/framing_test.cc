#include "ztunnel/dns/framing.h"

#include <gtest/gtest.h>

#include <optional>
#include <tuple>

#include "common/net/loop.h"
#include "common/net/timer.h"
#include "ztunnel/dns/load.h"

namespace culvert::ztunnel::dns {
namespace {

using namespace std::chrono_literals;

Bytes length(std::size_t value) { return {static_cast<std::byte>(value >> 8), static_cast<std::byte>(value & 0xff)}; }

// A reader at one end of a pair; the test writes at the other.
struct Reader {
  net::Loop loop;
  std::pair<net::Stream, net::Stream> ends = *net::Stream::pair(loop);
  Bytes message;
  std::optional<Read> read;

  explicit Reader(std::size_t most) {
    loop.spawn([](Reader& self, std::size_t limit) -> net::Task<> {
      self.read = co_await read_message(self.ends.second, limit, self.message);
    }(*this, most));
  }
  void write(const Bytes& bytes) {
    loop.run([](Reader& self, Bytes what) -> net::Task<> {
      std::ignore = co_await self.ends.first.write_all(what);
      co_await net::sleep_for(self.loop, 20ms);
    }(*this, bytes));
  }
};

TEST(Framing, ALengthAloneCostsNoMemory) {
  Reader reader(64 * 1024);

  reader.write(length(65'535));
  EXPECT_EQ(reader.message.capacity(), 0u);
  reader.write(Bytes(1000, std::byte{7}));
  EXPECT_LE(reader.message.capacity(), 2000u);
  EXPECT_FALSE(reader.read);

  reader.write(Bytes(64'535, std::byte{8}));
  EXPECT_EQ(reader.read, Read::kWhole);
  EXPECT_EQ(reader.message.size(), 65'535u);
  EXPECT_EQ(reader.message.at(999), std::byte{7});
  EXPECT_EQ(reader.message.at(1000), std::byte{8});
}

TEST(Framing, RefusesWhatSaysThatItIsTooLong) {
  Reader exact(100), longer(100);

  exact.write(length(100));
  exact.write(Bytes(100));
  longer.write(length(101));

  EXPECT_EQ(exact.read, Read::kWhole);
  EXPECT_EQ(longer.read, Read::kTooLong);
}

TEST(Framing, ReadsWhatItWrites) {
  Reader reader(1000);
  reader.loop.run([](net::Stream& to) -> net::Task<> {
    EXPECT_TRUE(co_await write_message(to, Bytes(300, std::byte{9})));
    to.shutdown_write();
    co_await net::sleep_for(to.loop(), 20ms);
  }(reader.ends.first));

  EXPECT_EQ(reader.read, Read::kWhole);
  EXPECT_EQ(reader.message, Bytes(300, std::byte{9}));
}

TEST(Framing, EndsWithTheStream) {
  Reader reader(1000);
  reader.write(length(10));

  reader.ends.first.close();
  reader.loop.run([](net::Loop& loop) -> net::Task<> { co_await net::sleep_for(loop, 20ms); }(reader.loop));

  EXPECT_EQ(reader.read, Read::kEnd);
}

TEST(Load, IsFullWhenItsOwnBoundOrThatOfAllIsReached) {
  const auto all = std::make_shared<Load>(3);
  Load one(2, all), other(2, all);

  one.begin();
  one.begin();
  EXPECT_TRUE(one.full());
  EXPECT_FALSE(other.full());
  other.begin();
  EXPECT_TRUE(other.full()) << "of all";
  one.end();
  EXPECT_FALSE(other.full());
  EXPECT_EQ(all->under_way(), 2u);
}

}  // namespace
}  // namespace culvert::ztunnel::dns
