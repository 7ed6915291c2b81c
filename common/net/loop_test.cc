#include "common/net/loop.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>

#include "common/net/drain.h"
#include "common/net/event.h"
#include "common/net/published.h"
#include "common/net/signals.h"
#include "common/net/timer.h"

namespace culvert::net {
namespace {

using namespace std::chrono_literals;

Task<int> answer() { co_return 42; }
Task<int> late_answer(Loop& loop) {
  co_await sleep_for(loop, 1ms);
  co_return 43;
}

TEST(Task, ReturnsItsValueAtOnceOrLater) {
  Loop loop;

  EXPECT_EQ(loop.run(answer()), 42);
  EXPECT_EQ(loop.run(late_answer(loop)), 43);
}

Task<int> sum(int count) {
  int total = 0;
  for (int i = 0; i < count; ++i) total += co_await answer();
  co_return total;
}

TEST(Task, ManyThatEndAtOnceDoNotGrowTheStack) {
  Loop loop;

  EXPECT_EQ(loop.run(sum(1'000'000)), 42'000'000);
}

Task<> add_later(Loop& loop, int& total, int value) {
  co_await sleep_for(loop, std::chrono::milliseconds(value));
  total += value;
}

TEST(Task, BothWaitsForBothInEitherOrder) {
  Loop loop;
  int total = 0;

  loop.run(both(add_later(loop, total, 1), add_later(loop, total, 3)));
  EXPECT_EQ(total, 4);
  loop.run(both(add_later(loop, total, 3), add_later(loop, total, 1)));
  EXPECT_EQ(total, 8);
}

struct Flag {
  explicit Flag(bool& its_gone) : gone(its_gone) {}
  ~Flag() { gone = true; }
  bool& gone;
};

Task<> wait_for_ever(Event& never, bool& gone) {
  const Flag flag(gone);
  co_await never.wait();
}

TEST(Loop, EndsTasksThatWaitWhenItIsDestroyed) {
  bool gone = false;
  {
    Loop loop;
    Event never(loop);
    loop.spawn(wait_for_ever(never, gone));
    EXPECT_FALSE(gone);
  }
  EXPECT_TRUE(gone);
}

TEST(Loop, RunsWhatOtherThreadsPostInOrder) {
  LoopThread worker("worker");
  std::vector<int> seen;

  for (int i = 0; i < 1000; ++i) worker.loop().post([&seen, i] { seen.push_back(i); });
  worker.call([] {});

  ASSERT_EQ(seen.size(), 1000U);
  EXPECT_TRUE(std::ranges::is_sorted(seen));
}

TEST(Timer, MovesLaterWithoutFiringAndCanBeCancelled) {
  Loop loop;
  Timer timer(loop);
  int fired = 0;
  timer.arm(5ms, [&] { ++fired; });
  timer.push(40ms);

  loop.run([](Loop& l) -> Task<> { co_await sleep_for(l, 20ms); }(loop));
  EXPECT_EQ(fired, 0);
  loop.run([](Loop& l) -> Task<> { co_await sleep_for(l, 60ms); }(loop));
  EXPECT_EQ(fired, 1);

  timer.arm(1ms, [&] { ++fired; });
  timer.cancel();
  loop.run([](Loop& l) -> Task<> { co_await sleep_for(l, 10ms); }(loop));
  EXPECT_EQ(fired, 1);
}

TEST(Timer, ComesEarlierWhenArmedEarlier) {
  Loop loop;
  Timer timer(loop);
  timer.arm(10s, [] { FAIL(); });
  timer.arm(1ms, [&] { loop.stop(); });

  loop.run();
}

Task<> count_wake(Event& event, int& woken) {
  co_await event.wait();
  ++woken;
}

TEST(Event, WakesInLaterTurnAndOnlyWhoWaits) {
  Loop loop;
  Event event(loop);
  int woken = 0;
  for (int i = 0; i < 3; ++i) loop.spawn(count_wake(event, woken));

  event.notify_one();
  EXPECT_EQ(woken, 0);  // never inside the signalling call
  loop.run([](Loop& l) -> Task<> { co_await l.yield(); }(loop));
  EXPECT_EQ(woken, 1);
  event.set();
  loop.spawn(count_wake(event, woken));
  EXPECT_EQ(woken, 2);  // already set: not even a turn
  loop.run([](Loop& l) -> Task<> { co_await l.yield(); }(loop));
  EXPECT_EQ(woken, 4);
}

TEST(Event, WaitForSaysWhetherItHappenedInTime) {
  Loop loop;
  Event event(loop);

  EXPECT_FALSE(loop.run(event.wait_for(2ms)));
  Timer timer(loop);
  timer.arm(2ms, [&] { event.notify_all(); });
  EXPECT_TRUE(loop.run(event.wait_for(5s)));
}

TEST(Event, AWaiterThatIsDestroyedIsForgotten) {
  Loop loop;
  Event event(loop);
  int woken = 0;
  {
    Task<> waiting = count_wake(event, woken);
    EXPECT_FALSE(waiting.start());
    event.notify_all();
  }
  {
    Task<> waiting = count_wake(event, woken);
    EXPECT_FALSE(waiting.start());
  }

  event.notify_all();
  loop.run([](Loop& l) -> Task<> { co_await l.yield(); }(loop));
  EXPECT_EQ(woken, 0);
}

TEST(Drain, TellsEverybodyAndWaitsForTheEnd) {
  Loop loop;
  Drain drain(loop);
  std::vector<Ending> told;
  auto willing = std::make_unique<Drain::Hold>();
  *willing = drain.hold([&](Ending ending) {
    told.push_back(ending);
    loop.post([&] { willing.reset(); });
  });
  EXPECT_FALSE(willing->ending());

  EXPECT_TRUE(loop.run(drain.finish(5s)));
  EXPECT_EQ(told, std::vector{Ending::kGraceful});
  EXPECT_EQ(drain.live(), 0U);
}

TEST(Drain, ForcesTheUnwilling) {
  Loop loop;
  Drain drain(loop);
  auto stubborn = std::make_unique<Drain::Hold>();
  *stubborn = drain.hold([&](Ending ending) {
    if (ending == Ending::kNow) loop.post([&] { stubborn.reset(); });
  });

  EXPECT_FALSE(loop.run(drain.finish(5ms)));
}

TEST(Published, TheOwnerFreesWhatWasReplaced) {
  Loop control;  // outlives the thread that posts to it
  LoopThread worker("worker");
  std::atomic<std::thread::id> freed_by;
  {
    Published<int> number(control, std::shared_ptr<const int>(new int(1), [&](const int* gone) {
                            freed_by = std::this_thread::get_id();
                            delete gone;
                          }));
    const auto view = number.view(worker.loop());
    control.run([](Loop& loop, Published<int>& published) -> Task<> {
      Event switched(loop);
      published.publish(std::make_shared<const int>(2), [&] { switched.set(); });
      co_await switched.wait();
    }(control, number));

    EXPECT_EQ(freed_by.load(), std::this_thread::get_id());
  }
}

TEST(Published, EveryViewHasTheValueBeforePublishSaysSo) {
  Loop control;
  LoopThread one("one");
  LoopThread two("two");
  Published<int> number(control, std::make_shared<const int>(1));
  const auto first = number.view(one.loop());
  const auto second = number.view(two.loop());
  std::atomic<int> changes = 0;
  one.call([&] { first->on_change([&] { ++changes; }); });

  control.run([](Loop& loop, Published<int>& published) -> Task<> {
    Event switched(loop);
    published.publish(std::make_shared<const int>(2), [&] { switched.set(); });
    co_await switched.wait();
  }(control, number));

  EXPECT_EQ(*number.get(), 2);
  EXPECT_EQ(changes, 1);
  one.call([&] { EXPECT_EQ(*first->get(), 2); });
  two.call([&] { EXPECT_EQ(*second->get(), 2); });
}

TEST(Signals, AreAwaited) {
  Loop loop;
  Signals signals(loop, {SIGUSR1, SIGUSR2});
  ::raise(SIGUSR2);

  EXPECT_EQ(loop.run(signals.next()), SIGUSR2);
  signals.close();
  EXPECT_EQ(loop.run(signals.next()), 0);
}

}  // namespace
}  // namespace culvert::net
