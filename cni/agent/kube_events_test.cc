#include "cni/agent/kube_events.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "cni/json/text.h"
#include "common/kube/test_peer.h"

namespace culvert::agent {
namespace {

config::Pod named(std::string name) {
  config::Pod pod;
  pod.metadata.name = std::move(name);
  pod.metadata.name_space = "shop";
  pod.metadata.uid = "9d2c";
  return pod;
}

News refused(std::string text) {
  News news;
  news.warning = true;
  news.reason = "MeshRefused";
  news.text = std::move(text);
  return news;
}

EventText event(const config::Pod& of, const News& news, int count = 1) {
  return event_of(of, news, "n1", count, "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z");
}

TEST(KubeEvents, SaysWhatHappenedToWhichPodAndWho) {
  const auto [name, text] = event(named("web-0"), refused("no \"ztunnel\"\n"), 3);
  const auto of = json::find(text, "involvedObject");

  ASSERT_TRUE(json::check(text)) << text;
  EXPECT_EQ(json::text_of(json::find(of, "name")), "web-0");
  EXPECT_EQ(json::text_of(json::find(of, "uid")), "9d2c");
  EXPECT_EQ(json::text_of(json::find(text, "type")), "Warning");
  EXPECT_EQ(json::text_of(json::find(text, "reason")), "MeshRefused");
  EXPECT_EQ(json::text_of(json::find(text, "message")), "no \"ztunnel\"\n");
  EXPECT_EQ(json::find(text, "count"), "3");
  EXPECT_EQ(json::text_of(json::find(json::find(text, "source"), "component")), "culvert-node");
}

TEST(KubeEvents, IsOneEventForTheSameNewsOfTheSamePod) {
  EXPECT_EQ(event(named("web-0"), refused("a")).name, event(named("web-0"), refused("a"), 7).name);
  EXPECT_NE(event(named("web-0"), refused("a")).name, event(named("web-0"), refused("b")).name);
  EXPECT_NE(event(named("web-0"), refused("a")).name, event(named("web-1"), refused("a")).name);
}

TEST(KubeEvents, FitsIntoWhatTheApiTakes) {
  const auto [name, text] = event(named(std::string(253, 'a')), refused(std::string(1023, 'x') + "é"));

  EXPECT_LE(name.size(), 253U);
  EXPECT_EQ(json::text_of(json::find(text, "message")), std::string(1023, 'x'));  // cut between characters
}

// Tells one Event to a server that answers so, one after the other, the last for good; what it was asked, and what is counted as dropped.
struct Told {
  std::size_t asked = 0;
  std::string metrics, last;
};
Told tell_to(std::vector<int> statuses, std::size_t until) {
  net::Loop loop;
  net::Event enough(loop);
  std::size_t asked = 0;
  kube::Peer peer(loop, [&](const http::Request&) {
    const int status = statuses[std::min(asked, statuses.size() - 1)];
    if (++asked >= until) enough.set();
    return kube::answer(status, "{}");
  });
  kube::Client client(loop, peer.access(), {});
  telemetry::Registry registry;
  KubeEvents events(client, "n1", registry);
  events.tell(named("web-0"), refused("first"));
  events.tell(named("web-0"), refused("second"));
  loop.run([](net::Event& event) -> net::Task<> { co_await event.wait(); }(enough));
  return {.asked = asked, .metrics = registry.text(), .last = peer.asked.back().body};
}

TEST(KubeEvents, AreToldAgainToAServerThatIsBusyAndInTheirOrder) {
  const auto told = tell_to({503, 429, 201}, 4);

  EXPECT_EQ(json::text_of(json::find(told.last, "message")), "second");
  EXPECT_THAT(told.metrics, testing::HasSubstr("culvert_node_events_dropped_total 0"));
}

TEST(KubeEvents, AreDroppedAndCountedWhenTheServerDoesNotWantThem) {
  const auto told = tell_to({403, 201}, 2);

  EXPECT_EQ(json::text_of(json::find(told.last, "message")), "second");
  EXPECT_THAT(told.metrics, testing::HasSubstr("culvert_node_events_dropped_total 1"));
}

}  // namespace
}  // namespace culvert::agent
