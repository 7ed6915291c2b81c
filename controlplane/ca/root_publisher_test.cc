#include "controlplane/ca/root_publisher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <format>
#include <string>
#include <vector>

#include "common/config/parse.h"
#include "common/kube/test_events.h"
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
  RootPublisher publisher{client, objects, "ROOT", registry};

  void name_space(const std::string& name) {
    const std::string yaml = std::format("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {}, uid: u-{}}}\n", name, name);
    for (const auto& parsed : config::parse_yaml("f", yaml).objects) objects.put(config::key_of(*parsed.object), parsed.object);
    publisher.namespaces_changed();
  }
  void until(std::size_t count, std::chrono::milliseconds most) {
    loop.run([](RootPublisherTest* test, std::size_t wanted, net::Clock::time_point end) -> net::Task<> {
      while (test->written.size() < wanted && net::Clock::now() < end) co_await net::sleep_for(test->loop, 5ms);
    }(this, count, net::Clock::now() + most));
  }
};

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

}  // namespace
}  // namespace culvert::controlplane
