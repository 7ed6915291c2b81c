#include "controlplane/ca/root_publisher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/base/format.h"
#include "common/config/parse.h"
#include "common/kube/test_events.h"
#include "common/kube/test_line.h"
#include "common/kube/test_peer.h"

namespace culvert::controlplane {
namespace {

using namespace std::chrono_literals;
using kube::answer;
using kube::chunk;
using kube::event;
using testing::ElementsAre;

const std::string kEnd = R"({"metadata":{"resourceVersion":"9","annotations":{"k8s.io/initial-events-end":"true"}}})";
const std::string kWritten = R"({"metadata":{"name":"istio-ca-root-cert","namespace":"shop","uid":"1","resourceVersion":"10"},)"
                             R"("data":{"root-cert.pem":"ROOT"}})";

struct RootPublisherTest : testing::Test {
  net::Loop loop;
  std::vector<std::string> written;    // namespaces, in the order of the writes
  kube::Steps later = {kube::hold()};  // what the watch sees after the list
  kube::Steps slow = {};               // before a write is answered
  kube::Peer peer{loop, [this](const http::Request& request) {
                    if (request.method == "GET") {
                      kube::Steps steps = {kube::chunked(), chunk(event("BOOKMARK", kEnd))};
                      steps.insert(steps.end(), later.begin(), later.end());
                      return steps;
                    }
                    const std::string rest = request.target.substr(std::string("/api/v1/namespaces/").size());
                    written.push_back(rest.substr(0, rest.find('/')));
                    kube::Steps steps = slow;
                    const bool refused = written.back() == "refuses";
                    for (auto& step : answer(refused ? 403 : 200, R"({"kind":"Status"})")) steps.push_back(std::move(step));
                    return steps;
                  }};
  kube::Client client{loop, peer.access()};
  derive::Objects objects;
  telemetry::Registry registry;
  std::set<std::string, std::less<>> outside;  // namespaces that do not belong to the mesh
  RootPublisher publisher{client, objects, [this](std::string_view ns) { return !outside.contains(ns); }, "ROOT", registry};

  void name_space(const std::string& name) {
    const std::string yaml = culvert::format("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {}, uid: u-{}}}\n", name, name);
    for (const auto& parsed : config::parse_yaml("f", yaml).objects) objects.put(config::key_of(*parsed.object), parsed.object);
    publisher.namespaces_changed();
  }
  void until(std::size_t count, std::chrono::milliseconds most) {
    loop.run([](RootPublisherTest* test, std::size_t wanted, net::Clock::time_point end) -> net::Task<> {
      while (test->written.size() < wanted && net::Clock::now() < end) co_await net::sleep_for(test->loop, 5ms);
    }(this, count, net::Clock::now() + most));
  }
};

TEST_F(RootPublisherTest, WhoLosesTheLeaseWhileItWaitsForItsTurnWritesNothing) {
  name_space("shop");
  kube::lose_in_line(loop, peer, client, [&](kube::Leadership leads) { publisher.lead(std::move(leads)); });
  EXPECT_THAT(written, testing::IsEmpty());
  EXPECT_THAT(registry.text(), testing::HasSubstr("culvert_root_configmaps_failed_total 0\n"));

  publisher.lead(true);
  until(1, 5s);
  EXPECT_THAT(written, ElementsAre("shop"));
}

TEST_F(RootPublisherTest, ANamespaceThatIsNotInTheMeshHasNoneUntilItIs) {
  outside = {"bank"};
  name_space("bank");
  name_space("shop");
  publisher.lead(true);
  until(1, 5s);
  EXPECT_EQ(written, std::vector<std::string>{"shop"});

  outside.clear();
  publisher.namespaces_changed();
  until(2, 5s);

  EXPECT_EQ(written.back(), "bank");
}

TEST_F(RootPublisherTest, ANamespaceThatRefusesHoldsUpNobody) {
  name_space("refuses");
  publisher.lead(true);
  until(1, 5s);
  until(2, 100ms);

  name_space("shop");
  until(2, 500ms);

  EXPECT_THAT(written, ElementsAre("refuses", "shop"));
  until(3, 5s);
  EXPECT_THAT(written, ElementsAre("refuses", "shop", "refuses")) << "it is tried again";
}

TEST_F(RootPublisherTest, WhatIsDeletedBeforeTheWriteIsAnsweredIsWrittenAgain) {
  later = {kube::wait(), chunk(event("ADDED", kWritten) + event("DELETED", kWritten)), kube::hold()};
  slow = {kube::wait(), kube::pause(100ms)};
  name_space("shop");
  publisher.lead(true);
  until(1, 5s);
  until(2, 50ms);

  peer.go();
  until(2, 5s);

  EXPECT_THAT(written, ElementsAre("shop", "shop"));
}

// An API server and somebody who puts back what he wants there, as often as we write.
TEST_F(RootPublisherTest, WhoKeepsWritingAnotherRootIsLeftAlone) {
  const std::string his =
      R"({"metadata":{"name":"istio-ca-root-cert","namespace":"shop","uid":"1","resourceVersion":"11","managedFields":[)"
      R"({"manager":"pilot-discovery","time":"2026-01-01T00:00:00Z"},{"manager":"culvertd","time":"2026-01-02T00:00:00Z"}]},)"
      R"("data":{"root-cert.pem":"HIS"}})";
  later.clear();
  for (int i = 0; i < 20; ++i) {
    later.push_back(kube::wait());
    later.push_back(chunk(event("MODIFIED", his)));
  }
  later.push_back(kube::hold());
  name_space("shop");
  publisher.lead(true);
  for (std::size_t count = 1; count <= 10; ++count) {
    until(count, 300ms);
    peer.go();
  }

  EXPECT_EQ(written.size(), 3U);
  EXPECT_THAT(registry.text(), testing::HasSubstr("culvert_root_configmaps_contested 1\n"));
}

TEST_F(RootPublisherTest, OtherRootsGoToAllNamespaces) {
  name_space("shop");
  name_space("web");
  publisher.lead(true);
  until(2, 5s);

  publisher.publish("ROOTS");
  until(4, 5s);

  EXPECT_THAT(written, ElementsAre("shop", "web", "shop", "web"));
  EXPECT_THAT(peer.asked.back().body, testing::HasSubstr("ROOTS"));
}

}  // namespace
}  // namespace culvert::controlplane
