#include "common/net/dial.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <string>
#include <thread>

#include "common/base/format.h"
#include "common/net/listener.h"
#include "common/net/timer.h"

namespace culvert::net {
namespace {

using namespace std::chrono_literals;

TEST(Dial, RefusedPortIsRefused) {
  Loop loop;
  Listener listener = *Listener::open(loop, {.at = *Endpoint::parse("127.0.0.1:0")});
  const Endpoint to = listener.local();
  listener.close();

  const auto stream = loop.run(dial(loop, {.to = to}));

  ASSERT_FALSE(stream);
  EXPECT_EQ(stream.error().reason, Reason::kConnectRefused);
  EXPECT_EQ(stream.error().text, "dialling " + to.text() + ": Connection refused");
}

TEST(Dial, GivesUpAfterItsTimeout) {
  Loop loop;
  // A listener whose queue is full drops further SYNs.
  Listener listener = *Listener::open(loop, {.at = *Endpoint::parse("127.0.0.1:0"), .backlog = 0});
  std::vector<Stream> filling;
  for (int i = 0; i < 4; ++i)
    if (auto stream = loop.run(dial(loop, {.to = listener.local(), .timeout = 20ms}))) filling.push_back(std::move(*stream));

  const auto stream = loop.run(dial(loop, {.to = listener.local(), .timeout = 50ms}));

  ASSERT_FALSE(stream);
  EXPECT_EQ(stream.error().reason, Reason::kConnectTimeout);
  EXPECT_EQ(stream.error().text, "dialling " + listener.local().text() + ": timed out after 0.05s");
}

TEST(Dial, SourceAddressWithoutPortIsChosenLate) {
  Loop loop;
  Listener listener = *Listener::open(loop, {.at = *Endpoint::parse("127.0.0.1:0")});

  const auto stream = loop.run(dial(loop, {.to = listener.local(), .from = *Endpoint::parse("127.1.2.3:0")}));

  ASSERT_TRUE(stream) << stream.error().text;
  EXPECT_EQ(stream->local().address.text(), "127.1.2.3");
  EXPECT_NE(stream->local().port, 0);
}

TEST(Dial, PortsOfOurOwnRangeSkipWhatIsTaken) {
  Loop loop;
  Listener listener = *Listener::open(loop, {.at = *Endpoint::parse("127.0.0.1:0")});
  Listener other = *Listener::open(loop, {.at = *Endpoint::parse("127.0.0.1:0")});
  const DialOptions options = {.to = listener.local(), .from = *Endpoint::parse("127.1.2.3:0"), .ports = PortRange{20000, 20003}};
  std::vector<Stream> streams;

  for (int i = 0; i < 4; ++i) {
    auto stream = loop.run(dial(loop, options));
    ASSERT_TRUE(stream) << stream.error().text;
    EXPECT_GE(stream->local().port, 20000);
    EXPECT_LE(stream->local().port, 20003);
    streams.push_back(std::move(*stream));
  }
  EXPECT_FALSE(loop.run(dial(loop, options)));  // all four 4-tuples are in use
  DialOptions elsewhere = options;
  elsewhere.to = other.local();
  EXPECT_TRUE(loop.run(dial(loop, elsewhere)));  // the ports are free towards anybody else
}

TEST(Dial, WhatWeHaveRunOutOfIsOurOwnReason) {
  Loop loop;
  Listener listener = *Listener::open(loop, {.at = *Endpoint::parse("127.0.0.1:0")});
  const DialOptions options = {.to = listener.local(), .from = *Endpoint::parse("127.1.2.3:0"), .ports = PortRange{20010, 20010}};
  const auto only = loop.run(dial(loop, options));
  ASSERT_TRUE(only) << only.error().text;

  const auto second = loop.run(dial(loop, options));

  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().reason, Reason::kInternal) << second.error().text;
}

TEST(Dial, ALongRunOfTakenPortsIsPassedQuickly) {
  Loop loop;
  Listener listener = *Listener::open(loop, {.at = *Endpoint::parse("127.0.0.1:0"), .backlog = 4096});
  const DialOptions options = {.to = listener.local(), .from = *Endpoint::parse("127.1.2.3:0"), .ports = PortRange{21000, 21999}};
  std::vector<Stream> live;
  for (int i = 0; i < 500; ++i) live.push_back(*loop.run(dial(loop, options)));

  for (int i = 0; i < 600; ++i) {  // once around: the live ones stand in the way as one run
    auto brief = loop.run(dial(loop, options));
    ASSERT_TRUE(brief) << i << ": " << brief.error().text;
    brief->reset();
  }
}

TEST(Dial, GoesOnInMorePortsWhenItsOwnAreTaken) {
  Loop loop;
  Listener listener = *Listener::open(loop, {.at = *Endpoint::parse("127.0.0.1:0"), .backlog = 4096});
  const DialOptions options = {.to = listener.local(),
                               .from = *Endpoint::parse("127.1.2.3:0"),
                               .ports = PortRange{22000, 22015},
                               .more_ports = PortRange{22100, 22499}};
  std::vector<Stream> live;

  for (int i = 0; i < 200; ++i) {
    auto dialled = loop.run(dial(loop, options));
    ASSERT_TRUE(dialled) << i << ": " << dialled.error().text;
    live.push_back(*std::move(dialled));
  }

  const auto own = std::ranges::count_if(live, [](const Stream& each) { return each.local().port <= 22015; });
  EXPECT_GE(own, 12);
  EXPECT_LE(own, 16);
}

// In a network namespace of its own, where `swallowed` is a source port of which no SYN arrives.
void where_nothing_comes_from(int swallowed, const std::function<void()>& then) {
  const auto rules = culvert::format(
      "ip link set lo up && nft 'add table inet t; add chain inet t in {{ type filter hook input priority 0; }}; add rule inet t "
      "in "
      "tcp sport {} drop'",
      swallowed);
  bool able = false;
  std::thread([&] {
    able = ::unshare(CLONE_NEWNET) == 0 && std::system(rules.c_str()) == 0;
    if (able) then();
  }).join();
  if (!able) GTEST_SKIP() << "needs root";
}

TEST(Dial, APortThatGetsNoAnswerIsReplaced) {
  where_nothing_comes_from(20000, [] {
    for (const std::string address : {"127.0.0.1", "::1"}) {
      Loop loop;
      Listener listener = *Listener::open(loop, {.at = {*IpAddress::parse(address), 0}});
      const DialOptions options = {.to = listener.local(),
                                   .from = Endpoint{*IpAddress::parse(address), 0},
                                   .ports = PortRange{20000, 20001},
                                   .port_patience = 30ms};
      Clock::duration longest{};
      for (int i = 0; i < 2; ++i) {  // the range is walked: one of the two begins where nothing comes from
        const auto began = Clock::now();
        auto stream = loop.run(dial(loop, options));
        longest = std::max(longest, Clock::now() - began);
        ASSERT_TRUE(stream) << stream.error().text;
        EXPECT_EQ(stream->local().port, 20001);
        stream->reset();
      }
      EXPECT_GE(longest, 30ms) << "it was tried";
    }
  });
}

TEST(Dial, PortsThatGetNoAnswerAreNotTriedLongerThanItsTimeout) {
  where_nothing_comes_from(20000, [] {
    Loop loop;
    Listener listener = *Listener::open(loop, {.at = *Endpoint::parse("127.0.0.1:0")});

    const auto stream = loop.run(dial(loop, {.to = listener.local(),
                                             .from = *Endpoint::parse("127.0.0.1:0"),
                                             .ports = PortRange{20000, 20000},
                                             .port_patience = 20ms,
                                             .timeout = 100ms}));

    ASSERT_FALSE(stream);
    EXPECT_EQ(stream.error().reason, Reason::kConnectTimeout);
    EXPECT_EQ(stream.error().text, "dialling " + listener.local().text() + ": timed out after 0.1s");
  });
}

TEST(Listener, DualStackSeesIpv4PeersAsIpv4) {
  Loop loop;
  Listener listener = *Listener::open(loop, {.at = *Endpoint::parse("[::]:0")});
  Endpoint to = *Endpoint::parse("127.0.0.1:0");
  to.port = listener.local().port;

  const auto client = loop.run(dial(loop, {.to = to}));
  const auto server = loop.run(listener.accept());

  ASSERT_TRUE(client && server);
  EXPECT_EQ(server->local(), to);
  EXPECT_EQ(server->peer(), client->local());
}

TEST(Listener, ReusePortSharesAPort) {
  Loop loop;
  Listener first = *Listener::open(loop, {.at = *Endpoint::parse("127.0.0.1:0"), .reuse_port = true});
  auto second = Listener::open(loop, {.at = first.local(), .reuse_port = true});
  EXPECT_TRUE(second) << second.error().text;
  EXPECT_FALSE(Listener::open(loop, {.at = first.local()}));
}

TEST(Listener, CloseEndsTheWait) {
  Loop loop;
  Listener listener = *Listener::open(loop, {.at = *Endpoint::parse("127.0.0.1:0")});
  Timer timer(loop);
  timer.arm(2ms, [&] { listener.close(); });

  EXPECT_FALSE(loop.run(listener.accept()));
  EXPECT_TRUE(listener.closed());
}

}  // namespace
}  // namespace culvert::net
