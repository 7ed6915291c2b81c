#include "common/kube/watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "common/kube/test_events.h"
#include "common/kube/test_peer.h"

namespace culvert::kube {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

const std::string kEnd = R"({"metadata":{"resourceVersion":"9","annotations":{"k8s.io/initial-events-end":"true"}}})";
const std::string kExpired =
    R"({"kind":"Status","status":"Failure","message":"too old resource version","reason":"Expired","code":410})";

struct WatchTest : testing::Test {
  net::Loop loop;
  std::optional<Peer> peer;
  std::optional<Client> client;
  std::optional<Watch> watch;
  std::vector<std::string> said;
  net::Event changed{loop};

  // What the server answers to the list, the n-th watch from a version, ...
  void start(Peer::Script script, WatchOptions options = {}) {
    peer.emplace(loop, std::move(script));
    client.emplace(loop, peer->access());
    options.of =
        options.older.empty() ? Collection{.plural = "services"} : Collection{.group = "g", .version = "v1", .plural = "things"};
    options.least = options.most = 10ms;
    options.missing = 30ms;
    options.settled = 50ms;
    watch.emplace(*client, options, [this](const Event& event) {
      said.push_back(text_of(event));
      changed.notify_all();
    });
  }
  // The next `count` events.
  std::vector<std::string> next(std::size_t count) {
    loop.run([](WatchTest* test, std::size_t wanted) -> net::Task<> {
      const auto end = net::Clock::now() + 10s;
      while (test->said.size() < wanted && net::Clock::now() < end) std::ignore = co_await test->changed.wait_for(50ms);
    }(this, count));
    std::vector<std::string> out = std::exchange(said, {});
    if (out.size() > count) said.assign(out.begin() + static_cast<std::ptrdiff_t>(count), out.end());
    out.resize(std::min(count, out.size()));
    return out;
  }
  void run_for(std::chrono::milliseconds time) {
    loop.run([](net::Loop* on, std::chrono::milliseconds how_long) -> net::Task<> { co_await net::sleep_for(*on, how_long); }(
                                                                       &loop, time));
  }
  std::string query(std::size_t index, const char* name) const { return peer->asked.at(index).query(name).value_or("none"); }
};

bool is_watch(const http::Request& request) { return request.query("watch").has_value(); }
bool streams(const http::Request& request) { return request.query("sendInitialEvents").has_value(); }
Steps ok(const std::string& body) { return answer(200, body); }
const WatchOptions kPaged = {.of = {}, .streaming = false};

TEST_F(WatchTest, ListsThenWatches) {
  start(
      [](const http::Request& request) {
        if (!is_watch(request)) return ok(list_text({object("a", "1"), object("b", "2")}, "7"));
        return Steps{chunked(), chunk(event("ADDED", object("c", "3", "8"))), chunk(event("DELETED", object("a", "1", "9"))),
                     hold()};
      },
      kPaged);

  EXPECT_THAT(next(5), ElementsAre("+n/a 1@1", "+n/b 2@2", "synced", "+n/c 3@8", "-n/a 1"));

  EXPECT_EQ(query(0, "limit"), "500");
  EXPECT_EQ(query(1, "resourceVersion"), "7");
  EXPECT_EQ(query(1, "allowWatchBookmarks"), "true");
  EXPECT_GE(std::stoi(query(1, "timeoutSeconds")), 300);
  EXPECT_LE(std::stoi(query(1, "timeoutSeconds")), 600);
  EXPECT_TRUE(watch->synced());
  EXPECT_EQ(watch->held(), 2U);
}

TEST_F(WatchTest, ListsInPages) {
  start(
      [](const http::Request& request) {
        if (is_watch(request)) return Steps{chunked(), hold()};
        const auto from = request.query("continue").value_or("");
        if (from.empty()) return ok(list_text({object("a", "1")}, "7", "p 2"));
        return ok(list_text({object("b", "2")}, "7", from == "p 2" ? "p3" : ""));
      },
      {.of = {}, .labels = "x in (y)", .fields = "f=g", .streaming = false, .page = 1});
  EXPECT_THAT(next(4), ElementsAre("+n/a 1@1", "+n/b 2@2", "+n/b 2@2", "synced"));
  EXPECT_EQ(query(1, "continue"), "p 2");
  EXPECT_EQ(query(1, "labelSelector"), "x in (y)");
  EXPECT_EQ(query(1, "fieldSelector"), "f=g");
}

TEST_F(WatchTest, StreamsTheListWhereTheServerKnowsHow) {
  start([](const http::Request&) {
    return Steps{chunked(), chunk(event("ADDED", object("a", "1")) + event("BOOKMARK", kEnd)),
                 chunk(event("ADDED", object("b", "2", "10"))), hold()};
  });
  EXPECT_THAT(next(3), ElementsAre("+n/a 1@1", "synced", "+n/b 2@10"));
  ASSERT_EQ(peer->asked.size(), 1U);
  EXPECT_EQ(query(0, "resourceVersionMatch"), "NotOlderThan");
  EXPECT_EQ(query(0, "resourceVersion"), "none");
}

TEST_F(WatchTest, ListsInPagesWhereTheServerDoesNotKnowStreaming) {
  start([](const http::Request& request) {
    if (streams(request))
      return answer(422, R"({"kind":"Status","message":"sendInitialEvents: Forbidden","reason":"Invalid","code":422})");
    return is_watch(request) ? Steps{chunked(), hold()} : ok(list_text({object("a", "1")}, "7"));
  });
  EXPECT_THAT(next(2), ElementsAre("+n/a 1@1", "synced"));
  EXPECT_EQ(peer->asked.size(), 2U);
}

TEST_F(WatchTest, AStreamedListThatNeverEndsIsGivenUp) {
  start(
      [](const http::Request& request) {
        if (streams(request)) return Steps{chunked(), chunk(event("ADDED", object("a", "1"))), hold()};
        return is_watch(request) ? Steps{chunked(), hold()} : ok(list_text({object("a", "1")}, "7"));
      },
      {.of = {}, .silence = 50ms});
  EXPECT_THAT(next(3), ElementsAre("+n/a 1@1", "+n/a 1@1", "synced"));
}

TEST_F(WatchTest, GoesOnFromWhereAWatchEnded) {
  start(
      [this](const http::Request& request) {
        if (!is_watch(request)) return ok(list_text({}, "7"));
        switch (peer->asked.size()) {
          case 2: return Steps{chunked(), chunk(event("ADDED", object("a", "1", "8"))), last_chunk()};
          case 3: return Steps{chunked(), chunk(event("BOOKMARK", R"({"metadata":{"resourceVersion":"30"}})")), last_chunk()};
          default: return Steps{chunked(), chunk(event("ADDED", object("b", "2", "31"))), hold()};
        }
      },
      kPaged);
  EXPECT_THAT(next(3), ElementsAre("synced", "+n/a 1@8", "+n/b 2@31"));
  EXPECT_EQ(query(2, "resourceVersion"), "8");
  EXPECT_EQ(query(3, "resourceVersion"), "30");
  EXPECT_EQ(peer->connections, 1);
}

TEST_F(WatchTest, AWatchThatIsCutInTheMiddleOfAnEventGoesOnBeforeIt) {
  const std::string whole = event("ADDED", object("b", "2", "9"));
  std::size_t at = 0;
  start(
      [&](const http::Request& request) {
        if (!is_watch(request)) return ok(list_text({}, "7"));
        if (++at < whole.size())
          return Steps{chunked(), chunk(event("MODIFIED", object("a", "1", "8"))), chunk(whole.substr(0, at)), cut()};
        return Steps{chunked(), chunk(whole), hold()};
      },
      kPaged);
  const auto all = next(whole.size() + 1);
  EXPECT_EQ(all.front(), "synced");
  EXPECT_EQ(all.back(), "+n/b 2@9");
  for (std::size_t i = 1; i + 1 < all.size(); ++i) EXPECT_EQ(all[i], "+n/a 1@8");  // never trouble, never a half event
}

TEST_F(WatchTest, TooLongAgoMeansANewListThatDropsNothingBeforeItIsWhole) {
  start(
      [&](const http::Request& request) {
        if (!is_watch(request) && peer->asked.size() == 1) return ok(list_text({object("a", "1"), object("b", "2")}, "7"));
        if (!is_watch(request)) {
          const std::string text = list_text({object("b", "2", "20"), object("c", "3")}, "21");
          const auto half = text.find("\"c\"");
          return Steps{chunked(), chunk(text.substr(0, half)), wait(), chunk(text.substr(half)), last_chunk()};
        }
        if (request.query("resourceVersion") != "7") return Steps{chunked(), hold()};
        return Steps{chunked(), chunk(event("ERROR", kExpired)), last_chunk()};
      },
      kPaged);
  EXPECT_THAT(next(4), ElementsAre("+n/a 1@1", "+n/b 2@2", "synced", "+n/b 2@20"));
  run_for(20ms);
  EXPECT_THAT(said, ElementsAre());  // "a" is in force until the list is whole

  peer->go();

  EXPECT_THAT(next(2), ElementsAre("+n/c 3@3", "-n/a 1"));
}

TEST_F(WatchTest, A410AsAStatusMeansTheSame) {
  start(
      [&](const http::Request& request) {
        if (!is_watch(request)) return ok(list_text({object("a", "1")}, std::to_string(peer->asked.size())));
        return request.query("resourceVersion") == "1" ? answer(410, kExpired) : Steps{chunked(), hold()};
      },
      kPaged);
  EXPECT_THAT(next(3), ElementsAre("+n/a 1@1", "synced", "+n/a 1@1"));
}

TEST_F(WatchTest, PagesThatExpireAreReadAnewAndAtLastInOne) {
  start(
      [&](const http::Request& request) {
        if (is_watch(request)) return Steps{chunked(), hold()};
        if (request.query("continue")) return answer(410, kExpired);
        if (request.query("limit")) return ok(list_text({object("a", "1")}, "7", "more"));
        return ok(list_text({object("a", "1"), object("b", "2")}, "8"));
      },
      kPaged);
  EXPECT_THAT(next(5), ElementsAre("+n/a 1@1", "+n/a 1@1", "+n/a 1@1", "+n/b 2@2", "synced"));
}

TEST_F(WatchTest, AServerThatIsGoneLeavesAllInForceAndIsFoundAgain) {
  start(
      [](const http::Request& request) {
        if (!is_watch(request)) return ok(list_text({object("a", "1")}, "7"));
        if (request.query("resourceVersion") == "7")
          return Steps{chunked(), chunk(event("ADDED", object("b", "2", "8"))), wait()};
        return Steps{chunked(), chunk(event("DELETED", object("a", "1", "9"))), hold()};
      },
      kPaged);
  EXPECT_THAT(next(3), ElementsAre("+n/a 1@1", "synced", "+n/b 2@8"));
  peer->down();
  EXPECT_THAT(next(1), ElementsAre(StartsWith("trouble: watch services: dialling ")));
  run_for(200ms);
  EXPECT_THAT(said, ElementsAre());
  EXPECT_EQ(watch->held(), 2U);

  peer->up();

  EXPECT_THAT(next(2), ElementsAre("-n/a 1", "recovered"));
  EXPECT_EQ(query(peer->asked.size() - 1, "resourceVersion"), "8");
}

TEST_F(WatchTest, TroubleIsToldOnceForEachKindAndItsEndAsWell) {
  int mode = 0;
  start(
      [&](const http::Request& request) {
        if (mode == 1) return answer(503, "overloaded");
        if (mode == 2) return answer(403, "no");
        if (!is_watch(request)) return ok(list_text({object("a", "1")}, "7"));
        Steps steps{chunked(), chunk(event("MODIFIED", object("a", "1", "8"))), wait()};
        return steps;
      },
      kPaged);
  EXPECT_THAT(next(3), ElementsAre("+n/a 1@1", "synced", "+n/a 1@8"));
  mode = 1;
  peer->down();
  EXPECT_THAT(next(1), ElementsAre(HasSubstr("Connection refused")));
  run_for(50ms);
  EXPECT_THAT(said, ElementsAre());
  peer->up();
  EXPECT_THAT(next(1), ElementsAre("trouble: watch services: 503 Service Unavailable: overloaded"));
  run_for(50ms);
  EXPECT_THAT(said, ElementsAre());
  mode = 2;
  EXPECT_THAT(next(1), ElementsAre("trouble: watch services: 403 Forbidden: no (RBAC: grant watch on services to this user)"));
  mode = 0;
  EXPECT_THAT(next(2), ElementsAre("+n/a 1@8", "recovered"));
}

TEST_F(WatchTest, AServerThatIsBusyIsAskedAgainWhenItSaysSo) {
  for (const auto& busy : {answer(429, "Too many requests, please try again later.", "Retry-After: 1\r\n"),
                           answer(429, R"({"kind":"Status","code":429,"details":{"retryAfterSeconds":1}})")}) {
    std::vector<net::Clock::time_point> asked;
    watch.reset();
    said.clear();
    start([&](const http::Request&) {
      asked.push_back(net::Clock::now());
      if (asked.size() == 1) return busy;
      return Steps{chunked(), chunk(event("ADDED", object("a", "1")) + event("BOOKMARK", kEnd)), hold()};
    });
    EXPECT_THAT(next(4), ElementsAre(HasSubstr("429"), "+n/a 1@1", "synced", "recovered"));
    ASSERT_GE(asked.size(), 2U);
    EXPECT_GE(asked[1] - asked[0], 1s) << "and not after the ten milliseconds of an ordinary failure";
  }
}

TEST_F(WatchTest, ACollectionThatIsNotServedIsEmptyUntilItIs) {
  bool installed = false;
  start([&](const http::Request&) {
    if (!installed) return answer(404, "404 page not found\n");
    return Steps{chunked(), chunk(event("ADDED", object("a", "1")) + event("BOOKMARK", kEnd)), hold()};
  });
  EXPECT_THAT(next(2), ElementsAre("served in no version", "synced"));
  run_for(100ms);
  EXPECT_THAT(said, ElementsAre());
  EXPECT_LT(peer->asked.size(), 8U);

  installed = true;

  EXPECT_THAT(next(2), ElementsAre("served in v1", "+n/a 1@1"));
}

// A server of a kind that has v1 and v1beta1.
struct OlderVersions : WatchTest {
  std::set<std::string> served;

  void start_with(WatchOptions options) {
    options.older = {"v1beta1"};
    start(
        [this](const http::Request& request) {
          const std::string version = request.target.substr(8, request.target.find('/', 8) - 8);
          if (!served.contains(version)) return answer(404, "404 page not found\n");
          if (!is_watch(request)) return ok(list_text({object("a", "1", version == "v1" ? "2" : "1")}, "7"));
          return Steps{chunked(), wait(), last_chunk()};
        },
        std::move(options));
  }
};

TEST_F(OlderVersions, AKindThatIsServedInAnOlderVersionAloneIsReadInThat) {
  served = {"v1beta1"};
  start_with(kPaged);
  EXPECT_THAT(next(3), ElementsAre("served in v1beta1", "+n/a 1@1", "synced"));
  EXPECT_EQ(watch->of().version, "v1beta1");
}

TEST_F(OlderVersions, TheNewestIsReadWhereItIsServedAndNothingIsSaid) {
  served = {"v1", "v1beta1"};
  start_with(kPaged);
  EXPECT_THAT(next(2), ElementsAre("+n/a 1@2", "synced"));
  EXPECT_EQ(watch->of().version, "v1");
}

TEST_F(OlderVersions, ANewerOneThatComesLaterIsGoneOverTo) {
  served = {"v1beta1"};
  start_with(kPaged);
  EXPECT_THAT(next(3), ElementsAre("served in v1beta1", "+n/a 1@1", "synced"));
  run_for(20ms);
  served = {"v1", "v1beta1"};
  peer->go();
  EXPECT_THAT(next(2), ElementsAre("served in v1", "+n/a 1@2"));
}

TEST_F(OlderVersions, AnotherVersionIsGoneOverToWhenOursIsServedNoMore) {
  served = {"v1"};
  start_with(kPaged);
  EXPECT_THAT(next(2), ElementsAre("+n/a 1@2", "synced"));
  run_for(20ms);
  served = {"v1beta1"};
  peer->go();
  EXPECT_THAT(next(2), ElementsAre("served in v1beta1", "+n/a 1@1")) << "and nothing was told gone";
}

TEST_F(OlderVersions, WhatIsServedInNeitherIsSaidOnce) {
  start_with(kPaged);
  EXPECT_THAT(next(2), ElementsAre("served in no version", "synced"));
  run_for(100ms);
  EXPECT_THAT(said, ElementsAre());
  served = {"v1beta1"};
  EXPECT_THAT(next(2), ElementsAre("served in v1beta1", "+n/a 1@1"));
}

TEST_F(WatchTest, ACollectionThatVanishesHasToBeMissingTwice) {
  int missing = 0;
  start(
      [&](const http::Request& request) {
        if (missing > 0) return missing--, answer(404, "");
        if (!is_watch(request)) return ok(list_text({object("a", "1")}, "7"));
        return Steps{chunked(), wait(), last_chunk()};
      },
      kPaged);
  EXPECT_THAT(next(2), ElementsAre("+n/a 1@1", "synced"));
  run_for(20ms);
  missing = 2;  // of the watch, and of the list after it
  peer->go();
  EXPECT_THAT(next(1), ElementsAre("+n/a 1@1"));
  run_for(20ms);
  missing = 3;
  peer->go();
  EXPECT_THAT(next(4), ElementsAre("served in no version", "-n/a 1", "served in v1", "+n/a 1@1"));
}

TEST_F(WatchTest, GarbageIsTroubleAndNothingElse) {
  int bad = 3;
  start(
      [&](const http::Request& request) {
        if (bad-- > 0) return ok(bad == 2 ? "<html>" : bad == 1 ? "{\"items\":[{},{" : "\x01\x02");
        if (!is_watch(request)) return ok(list_text({object("a", "1")}, "7"));
        return Steps{chunked(), chunk("{\"type\":\"ADDED\",]"), hold()};
      },
      kPaged);
  EXPECT_THAT(next(1), ElementsAre("trouble: list services: JSON: expected an object, got '<'"));
  EXPECT_THAT(next(4), ElementsAre("! an object without a name", "+n/a 1@1", "synced", "recovered"));
  EXPECT_THAT(next(1), ElementsAre("trouble: watch services: JSON: expected a name, got ']'"));
}

TEST_F(WatchTest, LargeObjectsComeThroughAndTooLargeOnesAreSkipped) {
  const std::string large = object("a", "1", "1", ",\"x\":\"" + std::string(1024 * 1024, 'y') + "\"");
  const std::string larger = object("b", "2", "2", ",\"x\":\"" + std::string(5 * 1024 * 1024, 'y') + "\"");
  start([&](const http::Request& request) {
    if (streams(request)) return answer(400, "");
    if (!is_watch(request)) return ok(list_text({large, larger, object("c", "3")}, "7"));
    return Steps{chunked(), chunk(event("MODIFIED", large)), chunk(event("MODIFIED", larger)),
                 chunk(event("MODIFIED", object("c", "3", "9"))), hold()};
  });
  EXPECT_THAT(next(7), ElementsAre("+n/a 1@1", "!n/b too long", "+n/c 3@3", "synced", "+n/a 1@1", "!n/b too long", "+n/c 3@9"));
}

TEST_F(WatchTest, AServerThatEndsEveryWatchAtOnceIsNotAskedInACircle) {
  start(
      [](const http::Request& request) {
        return is_watch(request) ? Steps{chunked(), last_chunk()} : ok(list_text({object("a", "1")}, "7"));
      },
      kPaged);
  next(2);
  run_for(100ms);
  EXPECT_LT(peer->asked.size(), 30U);
  EXPECT_THAT(said, ElementsAre());
}

TEST_F(WatchTest, AServerThatForgetsAtOnceIsNotAskedInACircle) {
  start([](const http::Request& request) { return is_watch(request) ? answer(410, kExpired) : ok(list_text({}, "7")); }, kPaged);
  next(1);
  run_for(100ms);
  EXPECT_LT(peer->asked.size(), 60U);
}

TEST_F(WatchTest, EndsWhereverItIs) {
  for (int after = 0; after < 40; ++after) {
    start(
        [](const http::Request& request) {
          if (!is_watch(request)) return Steps{chunked(), pause(1ms), chunk(list_text({object("a", "1")}, "7")), last_chunk()};
          return Steps{chunked(), pause(1ms), chunk(event("ADDED", object("c", "3", "8"))), pause(1ms), cut()};
        },
        kPaged);
    run_for(std::chrono::milliseconds(after / 2));
    watch.reset();
    const std::size_t told = said.size();
    run_for(1ms);
    EXPECT_EQ(said.size(), told);
    client.reset();
    peer.reset();
    said.clear();
  }
}

}  // namespace
}  // namespace culvert::kube
