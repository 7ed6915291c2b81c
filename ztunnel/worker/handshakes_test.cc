#include "ztunnel/worker/handshakes.h"

#include <gtest/gtest.h>

#include <list>
#include <memory>

namespace culvert::ztunnel {
namespace {

using namespace std::chrono_literals;

struct Door : testing::Test {
  net::Loop loop;
  Handshakes all{loop, {.of_pod = 2, .of_all = 3, .fair = 30ms}};
  std::shared_ptr<Pod> pod = std::make_shared<Pod>(), other = std::make_shared<Pod>();
  std::list<Handshake> under_way;
  int dropped = 0;

  Handshake& begin(Pod& of) {
    return under_way.emplace_back(all, of, [this] { ++dropped; });
  }
  // How long the next one has to wait.
  net::Clock::duration wait_for(std::shared_ptr<Pod> of) {
    const auto began = net::Clock::now();
    loop.run(all.room(std::move(of)));
    return net::Clock::now() - began;
  }
};

TEST_F(Door, IsOpenWhileThereIsRoom) {
  begin(*pod);

  EXPECT_LT(wait_for(pod), 20ms);
  EXPECT_EQ(dropped, 0);
}

TEST_F(Door, LetsThePodsNextOneWaitForAnEnd) {
  Handshake& first = begin(*pod);
  begin(*pod);

  auto room = all.room(pod);
  EXPECT_FALSE(room.start());
  first.done();
  loop.run([](net::Task<> rest) -> net::Task<> { co_await rest.rest(); }(std::move(room)));

  EXPECT_EQ(dropped, 0);
  EXPECT_LT(wait_for(other), 20ms) << "its neighbour has places of its own";
}

TEST_F(Door, DropsTheOldestThatHasHadItsTime) {
  begin(*pod);
  begin(*pod);

  const auto waited = wait_for(pod);

  EXPECT_GE(waited, 25ms);
  EXPECT_EQ(dropped, 1);
  EXPECT_EQ(all.size(), 1u);
  EXPECT_EQ(pod->handshakes, 1u);
}

TEST_F(Door, BoundsAllPodsTogether) {
  begin(*pod);
  begin(*pod);
  begin(*other);

  wait_for(other);

  EXPECT_EQ(dropped, 1);
  EXPECT_EQ(pod->handshakes, 1u) << "the oldest of all";
}

}  // namespace
}  // namespace culvert::ztunnel
