#include "common/kube/source/kube_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/base/format.h"
#include "common/kube/test_events.h"
#include "common/kube/test_peer.h"

namespace culvert::kube {
namespace {

using namespace std::chrono_literals;
using config::Change;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

const std::string kEnd = R"({"metadata":{"resourceVersion":"9","annotations":{"k8s.io/initial-events-end":"true"}}})";

std::string policy(const std::string& name, const std::string& version, const std::string& action = "DENY") {
  return culvert::format(R"({{"apiVersion":"security.istio.io/v1","kind":"AuthorizationPolicy",
    "metadata":{{"name":"{}","namespace":"shop","uid":"u-{}","resourceVersion":"{}"}},"spec":{{"action":"{}","rules":[{{}}]}}}})",
                         name, name, version, action);
}

std::string name_space(const std::string& name, const std::string& version) {
  return culvert::format(
      R"({{"apiVersion":"v1","kind":"Namespace","metadata":{{"name":"{}","uid":"u-{}","resourceVersion":"{}"}}}})", name, name,
      version);
}

// "+Namespace shop", "-...", "!..." for kInvalid.
std::string text_of(const Change& change) {
  const char* sign = change.what == Change::What::kPut ? "+" : change.what == Change::What::kDelete ? "-" : "!";
  return sign + change.key.text();
}

struct SourceTest : testing::Test {
  net::Loop loop;
  std::optional<Peer> peer;
  std::optional<Client> client;
  telemetry::Registry registry;
  std::unique_ptr<Source> source;
  std::vector<std::vector<std::string>> diffs;
  std::vector<std::string> problems, standings;
  net::Event changed{loop};
  // The events that each collection is watched with; each piece waits for Peer::go().
  std::vector<std::string> namespaces = {event("ADDED", name_space("shop", "1")) + event("BOOKMARK", kEnd)};
  std::vector<std::string> policies = {event("BOOKMARK", kEnd)};
  std::string served = "v1";  // of security.istio.io
  std::string listed;         // what a list says that is no watch, and how many were asked for
  std::size_t lists = 0;
  bool page_fits = true;  // else whoever asks for a page of usual size is told more than he takes

  void start() {
    peer.emplace(loop, [this](const http::Request& request) {
      if (request.target.contains("security.istio.io/") && !request.target.contains("security.istio.io/" + served + "/"))
        return answer(404, "404 page not found\n");
      if (!request.target.contains("watch=")) {
        ++lists;
        return answer(200, request.target.contains("limit=8") || page_fits ? listed : std::string(2048, ' '));
      }
      Steps steps = {chunked()};
      const auto& pieces = request.target.contains("namespaces?") ? namespaces : policies;
      for (std::size_t i = 0; i < pieces.size(); ++i) {
        if (i > 0) steps.push_back(wait());
        steps.push_back(chunk(pieces[i]));
      }
      steps.push_back(hold());
      return steps;
    });
    client.emplace(loop, peer->access(), ClientOptions{.answer = 1024});
    const SourceOptions options{.of = {{.kind = config::Kind::kNamespace}, {.kind = config::Kind::kAuthorizationPolicy}}};
    source = std::make_unique<Source>(*client, options, registry, [this](const config::Diff& diff) {
      diffs.emplace_back();
      for (const Change& change : diff.changes) {
        diffs.back().push_back(text_of(change));
        const config::Standing& standing = change.standing;
        if (!standing.version.empty())
          standings.push_back(
              culvert::format("{}@{} generation {} {}", change.key.name, standing.version, standing.generation, standing.status));
      }
      for (const config::Problem& problem : diff.problems) problems.push_back(problem.text());
      changed.notify_all();
    });
  }
  void until(const std::function<bool()>& condition) {
    loop.run([](SourceTest* test, const std::function<bool()>* wanted) -> net::Task<> {
      const auto end = net::Clock::now() + 10s;
      while (!(*wanted)() && net::Clock::now() < end) std::ignore = co_await test->changed.wait_for(10ms);
    }(this, &condition));
  }
  void until(std::size_t count) {
    until([&] { return diffs.size() >= count; });
  }
};

TEST_F(SourceTest, PoliciesOfAClusterThatHasThemInAnOlderVersionAloneAreRead) {
  served = "v1beta1";
  policies = {
      event("ADDED",
            std::string(policy("web", "2")).replace(std::string("{\"apiVersion\":\"security.istio.io/v1").size(), 0, "beta1")) +
      event("BOOKMARK", kEnd)};

  start();
  until(1);

  ASSERT_THAT(diffs, SizeIs(1));
  EXPECT_THAT(diffs[0], testing::Contains("+AuthorizationPolicy shop/web"));
  EXPECT_EQ(source->served(config::Kind::kAuthorizationPolicy).version, "v1beta1");
}

TEST_F(SourceTest, TellsTheStatusOfAnObjectThatIsNestedTooDeeply) {
  const std::string deep = std::string(150, '[') + std::string(150, ']');
  policies = {event("ADDED", policy("web", "2")) +
              event("ADDED", R"({"apiVersion":"security.istio.io/v1","kind":"AuthorizationPolicy","metadata":{"name":"deep",)"
                             R"("namespace":"shop","uid":"u-9","resourceVersion":"7","generation":3},"spec":{"rules":)" +
                                 deep + R"(},"status":{"conditions":[{"type":"A"}]}})") +
              event("BOOKMARK", kEnd)};

  start();
  until(1);

  ASSERT_THAT(diffs, SizeIs(1));
  EXPECT_THAT(diffs[0], testing::Contains("!AuthorizationPolicy shop/deep"));
  EXPECT_THAT(problems, ElementsAre(HasSubstr("AuthorizationPolicy shop/deep: nested too deeply")));
  EXPECT_THAT(standings, testing::Contains(R"(deep@7 generation 3 {"conditions":[{"type":"A"}]})"));
}

TEST_F(SourceTest, TellsWhatTheStatusSaysOfKindsThatWeWriteItOf) {
  const auto with_status = [](std::string object, const std::string& generation) {
    object.insert(object.rfind('}'), R"(,"status":{"conditions":[{"type":"A"}]})");
    return object.insert(object.find("\"uid\""), "\"generation\":" + generation + ",");
  };
  namespaces[0] = event("ADDED", with_status(name_space("shop", "1"), "3")) + event("BOOKMARK", kEnd);
  policies = {event("ADDED", with_status(policy("a", "5"), "3")) +
              event("ADDED", with_status(policy("b", "6", "DENI"), "\"x\"")) + event("BOOKMARK", kEnd)};

  start();
  until(1);

  EXPECT_THAT(standings, ElementsAre(R"(a@5 generation 3 {"conditions":[{"type":"A"}]})",
                                     R"(b@6 generation 0 {"conditions":[{"type":"A"}]})"));
}

TEST_F(SourceTest, TellsNothingBeforeAllCollectionsAreListedAndThenEverythingAtOnce) {
  policies = {"\n", event("ADDED", policy("p", "2")) + event("BOOKMARK", kEnd)};
  start();
  loop.run([](net::Loop* on) -> net::Task<> { co_await net::sleep_for(*on, 100ms); }(&loop));
  EXPECT_THAT(diffs, IsEmpty());
  EXPECT_FALSE(source->synced());
  EXPECT_THAT(source->troubles(), ElementsAre("authorizationpolicies.security.istio.io: not listed yet"));

  peer->go();
  until(1);

  EXPECT_THAT(diffs, ElementsAre(ElementsAre("+Namespace shop", "+AuthorizationPolicy shop/p")));
  EXPECT_TRUE(source->synced());
  EXPECT_THAT(source->troubles(), IsEmpty());
  EXPECT_THAT(registry.text(), HasSubstr("culvert_kube_synced{collection=\"namespaces\"} 1"));
}

TEST_F(SourceTest, WhatChangesWhileACollectionIsWaitedForIsKeptAsItEnds) {
  policies = {event("ADDED", policy("p", "2")) + event("ADDED", policy("q", "3")) + event("ADDED", policy("r", "4", "DENI")) +
              event("BOOKMARK", kEnd) + event("MODIFIED", policy("p", "5")) + event("DELETED", policy("q", "6")) +
              event("MODIFIED", policy("r", "7", "DENI")) + event("MODIFIED", policy("p", "8")) +
              event("MODIFIED", policy("p", "9", "DENI"))};
  namespaces = {"\n", event("ADDED", name_space("shop", "1")) + event("BOOKMARK", kEnd)};
  start();
  loop.run([](net::Loop* on) -> net::Task<> { co_await net::sleep_for(*on, 100ms); }(&loop));
  peer->go();
  until(1);

  EXPECT_THAT(diffs, ElementsAre(ElementsAre("+Namespace shop", "+AuthorizationPolicy shop/p", "!AuthorizationPolicy shop/p",
                                             "!AuthorizationPolicy shop/r")));
  EXPECT_THAT(problems, ElementsAre(HasSubstr("shop/p: spec.action: "), HasSubstr("shop/r: spec.action: ")));
}

TEST_F(SourceTest, NothingAtAllIsToldAsWell) {
  namespaces = {event("BOOKMARK", kEnd)};
  start();
  until(1);
  EXPECT_THAT(diffs, ElementsAre(IsEmpty())) << "whoever waits for the configuration has it";
}

TEST_F(SourceTest, WhatComesTogetherIsOneStepAndWhatIsPutAgainIsNone) {
  policies = {event("ADDED", policy("p", "2")) + event("BOOKMARK", kEnd),
              event("MODIFIED", policy("p", "2")) + event("ADDED", policy("q", "3")) + event("DELETED", policy("p", "4"))};
  start();
  until(1);
  peer->go();
  until(2);

  ASSERT_THAT(diffs, SizeIs(2));
  EXPECT_THAT(diffs[1], ElementsAre("+AuthorizationPolicy shop/q", "-AuthorizationPolicy shop/p"));
}

TEST_F(SourceTest, HasCaughtUpWithAllWhenWhatIsNewHasBeenToldAndWhatIsGone) {
  policies = {event("ADDED", policy("p", "2")) + event("BOOKMARK", kEnd), event("MODIFIED", policy("p", "3")),
              event("DELETED", policy("p", "4"))};
  start();
  until(1);
  for (const char* now :
       {R"({"items":[{"metadata":{"name":"p","namespace":"shop","resourceVersion":"3"}}]})", R"({"items":null})"}) {
    listed = now;
    lists = 0;
    std::optional<Status> caught;
    loop.spawn([](SourceTest* test, std::optional<Status>* result) -> net::Task<> {
      *result = co_await test->source->catch_up_all({config::Kind::kAuthorizationPolicy}, 10s);
    }(this, &caught));
    until([&] { return lists >= 2; });
    EXPECT_FALSE(caught);

    peer->go();
    until([&] { return caught.has_value(); });

    ASSERT_TRUE(caught && *caught) << now;
  }
}

TEST_F(SourceTest, HasNotCaughtUpWithAVersionThatCameAfterTheOneThatItCouldNotRead) {
  std::string deep = policy("p", "2");
  deep.insert(deep.size() - 1, ",\"status\":" + std::string(200, '[') + std::string(200, ']'));
  policies = {event("ADDED", deep) + event("BOOKMARK", kEnd), event("MODIFIED", policy("p", "3"))};
  listed = R"({"items":[{"metadata":{"name":"p","namespace":"shop","resourceVersion":"2"}}]})";
  start();
  until(1);
  EXPECT_TRUE(loop.run(source->catch_up_all({config::Kind::kAuthorizationPolicy}, 10s))) << "that it cannot be read was told";
  listed = R"({"items":[{"metadata":{"name":"p","namespace":"shop","resourceVersion":"3"}}]})";
  lists = 0;
  std::optional<Status> caught;
  loop.spawn([](SourceTest* test, std::optional<Status>* result) -> net::Task<> {
    *result = co_await test->source->catch_up_all({config::Kind::kAuthorizationPolicy}, 10s);
  }(this, &caught));
  until([&] { return caught || lists >= 2; });
  EXPECT_FALSE(caught);

  peer->go();
  until([&] { return caught.has_value(); });

  ASSERT_TRUE(caught && *caught);
  EXPECT_THAT(diffs.back(), ElementsAre("+AuthorizationPolicy shop/p"));
}

TEST_F(SourceTest, CatchesUpInSmallPiecesWhereAPageIsTooLarge) {
  listed = R"({"items":[]})";
  page_fits = false;
  start();
  until(1);

  EXPECT_TRUE(loop.run(source->catch_up_all({config::Kind::kAuthorizationPolicy}, 10s)));
  EXPECT_EQ(lists, 2U);
}

TEST_F(SourceTest, SaysWhichCollectionItCouldNotCatchUpWith) {
  listed = R"({"items":[{"metadata":{"name":"p","namespace":"shop","resourceVersion":"3"}}]})";
  start();
  until(1);

  const auto caught = loop.run(source->catch_up_all({config::Kind::kAuthorizationPolicy}, 1s));

  ASSERT_FALSE(caught);
  EXPECT_EQ(caught.error().text, "the watch has not brought authorizationpolicies.security.istio.io as the API server has them");
}

TEST_F(SourceTest, WhatCannotBeReadIsInvalidUnderItsName) {
  policies = {event("ADDED", policy("p", "2", "DENI")) + event("BOOKMARK", kEnd), event("MODIFIED", policy("p", "3"))};
  start();
  until(1);
  EXPECT_THAT(diffs, ElementsAre(ElementsAre("+Namespace shop", "!AuthorizationPolicy shop/p")));
  EXPECT_THAT(problems, ElementsAre(HasSubstr("kubernetes: AuthorizationPolicy shop/p: spec.action: ")));

  peer->go();
  until(2);
  EXPECT_THAT(diffs.back(), ElementsAre("+AuthorizationPolicy shop/p"));
}

}  // namespace
}  // namespace culvert::kube
