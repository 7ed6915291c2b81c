#include "ztunnel/identity/certificates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "common/net/timer.h"
#include "common/tls/authority.h"
#include "ztunnel/identity/identities.h"

namespace culvert::ztunnel {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

Identity named(const std::string& account) { return {"cluster.local", "shop", account}; }

// Certificates with an authority of which the test plays every part.
struct Fetched : testing::Test {
  net::Loop loop;
  tls::Authority root = tls::Authority::make_root("cluster.local").value();
  net::Event let{loop};
  bool hold = false;  // calls wait until this is false
  bool refuse = false;
  std::chrono::seconds lifetime = 1h;
  tls::SystemTime signed_at{};  // none: now
  std::vector<std::string> asked;
  std::size_t at_once = 0, most_at_once = 0;
  std::vector<std::string> published;  // "web good", "web none", "web gone", in their order
  std::optional<Certificates> certificates;

  Fetched() {
    certificates.emplace(
        loop, [this](const Identity& identity) { return fetch(this, identity); },
        [this](const Identity& identity, std::optional<Result<CredentialsRef>> value) {
          published.push_back(identity.service_account + (!value ? " gone" : *value ? " good" : " none"));
        });
  }
  static net::Task<Result<CredentialsRef>> fetch(Fetched* world, Identity identity) {
    world->asked.push_back(identity.service_account);
    world->most_at_once = std::max(world->most_at_once, ++world->at_once);
    while (world->hold) co_await world->let.wait();
    --world->at_once;
    if (world->refuse) co_return failure("refused by the test");
    const auto now = world->signed_at == tls::SystemTime{} ? std::chrono::system_clock::now() : world->signed_at;
    auto pair = world->root.make_workload(identity, world->lifetime, now);
    co_return std::make_shared<const Credentials>(std::move(*pair), tls::Roots({world->root.certificate()}));
  }
  void release(bool all) {
    hold = !all;
    all ? let.notify_all() : let.notify_one();
  }
  void until(const std::function<bool()>& done, net::Clock::duration patience = 10s) {
    loop.run([](net::Loop* on, const std::function<bool()>* enough, net::Clock::duration limit) -> net::Task<> {
      const auto end = net::Clock::now() + limit;
      while (!(*enough)() && net::Clock::now() < end) co_await net::sleep_for(*on, 2ms);
    }(&loop, &done, patience));
    EXPECT_TRUE(done());
  }
  void pass(net::Clock::duration time) {
    loop.run(
        [](net::Loop* on, net::Clock::duration how_long) -> net::Task<> { co_await net::sleep_for(*on, how_long); }(&loop, time));
  }
};

TEST_F(Fetched, AreAllRenewedWhenWhatIsTrustedChanges) {
  certificates->set_wanted({named("web"), named("db")});
  until([&] { return published.size() == 2; });
  pass(50ms);
  EXPECT_EQ(asked.size(), 2U);

  certificates->renew_all();
  until([&] { return published.size() == 4; });
  pass(50ms);

  EXPECT_EQ(asked.size(), 4U);
  EXPECT_EQ(std::ranges::count(published, "web good"), 2);
}

TEST_F(Fetched, WhatIsUnderWayWhenTrustChangesIsFetchedOnceMore) {
  hold = true;
  certificates->set_wanted({named("web")});
  until([&] { return asked.size() == 1; });
  certificates->renew_all();
  release(true);
  until([&] { return published.size() == 2; });
  pass(50ms);

  EXPECT_EQ(asked.size(), 2U);
}

TEST_F(Fetched, AreFetchedAheadAndDroppedWithTheirLastPod) {
  certificates->set_wanted({named("web"), named("db")});
  until([&] { return published.size() == 2; });
  EXPECT_THAT(published, testing::UnorderedElementsAre("web good", "db good"));

  certificates->set_wanted({named("db")});
  EXPECT_EQ(published.back(), "web gone");
  certificates->set_wanted({named("web"), named("db")});
  until([&] { return published.size() == 4; });

  EXPECT_EQ(published.back(), "web good");
  EXPECT_EQ(std::ranges::count(asked, "db"), 1);
  EXPECT_EQ(certificates->shown().size(), 2u);
}

TEST_F(Fetched, WhatIsDroppedWhileItIsFetchedIsNotPublished) {
  hold = true;
  certificates->set_wanted({named("web")});
  until([&] { return asked.size() == 1; });
  certificates->set_wanted({});

  release(true);
  pass(20ms);

  EXPECT_THAT(published, ElementsAre("web gone"));
}

TEST_F(Fetched, AreFetchedEightAtATimeTheHurriedFirst) {
  hold = true;
  std::set<Identity> wanted;
  for (char name = 'a'; name < 'a' + 12; ++name) wanted.insert(named(std::string(1, name)));
  certificates->set_wanted(wanted);
  until([&] { return asked.size() == 8; });
  pass(20ms);
  EXPECT_EQ(asked.size(), 8u);

  certificates->hurry(named("l"));
  certificates->hurry(named("nobody"));
  hold = false;
  let.notify_one();
  until([&] { return asked.size() >= 9; });
  EXPECT_EQ(asked[8], "l");

  release(true);
  until([&] { return published.size() == 12; });
  EXPECT_EQ(most_at_once, 8u);
}

TEST_F(Fetched, AreRenewedAtHalfOfTheirLife) {
  lifetime =
      tls::kBackdate + 4s;  // dated back by as much: its half is two seconds from now, less the part of this one that is over
  const auto start = net::Clock::now();
  certificates->set_wanted({named("web")});
  until([&] { return published.size() == 1; });
  lifetime = 1h;
  until([&] { return published.size() == 2; });

  EXPECT_GT(net::Clock::now() - start, 800ms);
  EXPECT_THAT(published, ElementsAre("web good", "web good"));
  EXPECT_LT(certificates->shown()[0].credentials->own.leaf().not_before(), std::chrono::system_clock::now());
}

TEST_F(Fetched, AFailureKeepsTheOldOneUntilItExpires) {
  lifetime = 3s;  // past its half already: it is asked for again soon
  certificates->set_wanted({named("web")});
  until([&] { return published.size() == 1; });
  refuse = true;
  until([&] { return asked.size() >= 3; });
  EXPECT_THAT(published, ElementsAre("web good"));
  EXPECT_EQ(certificates->shown()[0].error, "refused by the test");
  EXPECT_NE(certificates->shown()[0].credentials, nullptr);

  until([&] { return published.size() >= 2; });
  EXPECT_EQ(published[1], "web none");
  EXPECT_EQ(certificates->shown()[0].credentials, nullptr);

  refuse = false;
  lifetime = 1h;
  certificates->hurry(named("web"));  // a connection waits: the pause is cut short
  until([&] { return published.back() == "web good"; }, 2s);
}

TEST_F(Fetched, OneThatIsIssuedTooLateIsNotAskedForInCircles) {
  lifetime = 60s;  // half of its life lies before today
  certificates->set_wanted({named("web")});
  until([&] { return asked.size() == 1; });

  pass(2200ms);

  EXPECT_LE(asked.size(), 4u);  // after 0.5, 1 and 2 s, more or less
  EXPECT_EQ(published.size(), asked.size());
}

TEST_F(Fetched, OneThatHasNotBegunIsReplacedOnceTheClocksAgree) {
  signed_at = std::chrono::system_clock::now() + 1h;
  certificates->set_wanted({named("web")});
  until([&] { return asked.size() == 2; });
  EXPECT_EQ(published.front(), "web good") << "others may have the clock of who signed it";

  signed_at = {};
  const auto has_begun = [&] {
    return certificates->shown()[0].credentials->own.leaf().not_before() <= std::chrono::system_clock::now();
  };
  until(has_begun);
}

// Whoever signs is ahead for good: what is asked for again begins later each time.
TEST_F(Fetched, OneThatHasNotBegunIsNotReplacedByOneThatBeginsLater) {
  signed_at = std::chrono::system_clock::now() + 1h;
  certificates->set_wanted({named("web")});
  until([&] { return asked.size() == 1; });
  until([&] { return !published.empty(); });
  const auto begins = certificates->shown()[0].credentials->own.leaf().not_before();

  signed_at += 1min;
  until([&] { return asked.size() == 3; });
  pass(20ms);

  EXPECT_EQ(certificates->shown()[0].credentials->own.leaf().not_before(), begins);
  EXPECT_THAT(published, ElementsAre("web good"));
}

TEST_F(Fetched, OneThatIsGoodStaysUntilTheNextHasBegun) {
  certificates->set_wanted({named("web")});
  until([&] { return published.size() == 1; });
  const auto serial = certificates->shown()[0].credentials->own.leaf().serial();

  signed_at = std::chrono::system_clock::now() + 123s;  // 3 s, dated back
  certificates->renew_all();
  until([&] { return asked.size() == 3; });
  EXPECT_EQ(certificates->shown()[0].credentials->own.leaf().serial(), serial);

  refuse = true;  // what has come is used when its time has come, whatever is answered then
  until([&] { return published.size() == 2; });
  EXPECT_THAT(published, ElementsAre("web good", "web good"));
  EXPECT_NE(certificates->shown()[0].credentials->own.leaf().serial(), serial);
}

// --- a worker's view of them ---

struct WorkersView : testing::Test {
  net::Loop loop;
  std::vector<Identity> asked;
  Identities identities{loop, [this](const Identity& identity) { asked.push_back(identity); }};

  static Identities::Value good() {
    static const auto root = tls::Authority::make_root("cluster.local").value();
    return Result<CredentialsRef>(
        std::make_shared<const Credentials>(root.make_workload(named("web"), 1h).value(), tls::Roots({root.certificate()})));
  }
};

TEST_F(WorkersView, AWaiterGetsTheCertificateWhenItComes) {
  EXPECT_EQ(identities.now(named("web")).error().reason, Reason::kIdentityError);
  loop.spawn([](net::Loop* on, Identities* of) -> net::Task<> {
    co_await net::sleep_for(*on, 5ms);
    of->set(named("web"), failure("not yet", Reason::kIdentityError));
    co_await net::sleep_for(*on, 5ms);
    of->set(named("web"), good());
  }(&loop, &identities));

  const auto context = loop.run(identities.get(named("web")));

  EXPECT_TRUE(context) << context.error().text;
  EXPECT_THAT(asked, ElementsAre(named("web"), named("web"))) << "again after the failure";
  EXPECT_TRUE(loop.run(identities.get(named("web"))));
  EXPECT_EQ(asked.size(), 2u);
}

TEST_F(WorkersView, AWaiterIsToldWhyThereIsNone) {
  identities.set(named("web"), failure("the authority is away", Reason::kIdentityError));

  const auto context = loop.run(identities.get(named("web"), 20ms));

  ASSERT_FALSE(context);
  EXPECT_EQ(context.error().text, "the authority is away");

  identities.set(named("web"), good());
  EXPECT_TRUE(identities.now(named("web")));
  identities.set(named("web"), std::nullopt);
  EXPECT_FALSE(identities.now(named("web")));
}

}  // namespace
}  // namespace culvert::ztunnel
