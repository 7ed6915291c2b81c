#include "common/base/log_writer.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <vector>

namespace culvert::log {
namespace {

std::string confess(std::uint64_t lines) { return std::to_string(lines) + " lost"; }

TEST(LogWriter, WritesEveryLineOfEveryThreadWhole) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  constexpr int kThreads = 4, kLines = 2000;
  std::string read;
  std::thread reader([&] {
    char buffer[4096];
    for (ssize_t got = 0; (got = ::read(ends[0], buffer, sizeof buffer)) > 0;) read.append(buffer, static_cast<std::size_t>(got));
  });

  {
    Writer writer(ends[1], confess);
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i)
      threads.emplace_back([&] {
        for (int line = 0; line < kLines; ++line) writer.add("0123456789");
      });
    for (auto& thread : threads) thread.join();
    writer.finish();
    writer.add("too late");
    EXPECT_EQ(writer.dropped(), 1u);
  }
  ::close(ends[1]);
  reader.join();
  ::close(ends[0]);

  std::string expected;
  for (int line = 0; line < kThreads * kLines; ++line) expected += "0123456789\n";
  EXPECT_EQ(read, expected);
}

// Lines of 64 KiB until nothing fits any more, and one that must not be lost; then somebody reads. The first fills the pipe: whoever writes is stuck from then on.
TEST(LogWriter, DropsCountsAndSaysSoWhenNobodyReads) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  Writer writer(ends[1], confess);
  const std::string line(64 * 1024, 'x');
  writer.add(line);
  pollfd begun{ends[0], POLLIN, 0};
  ASSERT_EQ(::poll(&begun, 1, -1), 1);
  for (int i = 0; i < 200; ++i) writer.add(line);
  const auto dropped = writer.dropped();
  EXPECT_GT(dropped, 0u);
  writer.add("kept", true);
  EXPECT_EQ(writer.dropped(), dropped);
  for (int i = 0; i < 50; ++i) writer.add(line, true);
  const auto all = writer.dropped();
  EXPECT_GT(all, dropped) << "its room has a bound, too";

  std::string read;
  std::thread reader([&] {
    std::vector<char> buffer(1 << 20);
    for (ssize_t got = 0; (got = ::read(ends[0], buffer.data(), buffer.size())) > 0;)
      read.append(buffer.data(), static_cast<std::size_t>(got));
  });
  writer.finish();
  ::close(ends[1]);
  reader.join();
  ::close(ends[0]);
  EXPECT_NE(read.find("\nkept\n"), std::string::npos);
  EXPECT_TRUE(read.ends_with("\n" + confess(all) + "\n")) << read.substr(read.size() - 100);
}

}  // namespace
}  // namespace culvert::log
