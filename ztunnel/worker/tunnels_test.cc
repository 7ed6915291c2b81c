#include "ztunnel/worker/tunnels.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/hbone/test_mesh.h"
#include "ztunnel/worker/pod.h"

namespace culvert::ztunnel {
namespace {

using hbone::TestMesh;

// What the server of a TestMesh does with who has shaken hands.
struct Places {
  explicit Places(Tunnels::Limits limits) : all(limits) {}

  bool enter(const Pod& pod, const std::string& account, std::shared_ptr<hbone::ServerControl> control) {
    auto place = all.enter(pod, hbone::workload(account), std::move(control));
    if (!place) return false;
    held.push_back(*std::move(place));
    return true;
  }

  Pod pod, other;
  Tunnels all;
  std::vector<Tunnels::Place> held;
};

std::shared_ptr<hbone::ServerControl> nobody() { return std::make_shared<hbone::ServerControl>(); }

TEST(Tunnels, HaveABoundForEachPeerOfAPod) {
  Places places({.of_peer = 2, .of_all = 100});
  EXPECT_TRUE(places.enter(places.pod, "a", nobody()));
  EXPECT_TRUE(places.enter(places.pod, "a", nobody()));

  EXPECT_FALSE(places.enter(places.pod, "a", nobody()));
  EXPECT_TRUE(places.enter(places.pod, "b", nobody()));
  EXPECT_TRUE(places.enter(places.other, "a", nobody()));
  EXPECT_EQ(places.all.size(), 4u);

  places.held.erase(places.held.begin());
  EXPECT_TRUE(places.enter(places.pod, "a", nobody()));
  EXPECT_FALSE(places.enter(places.pod, "a", nobody()));
  places.held.clear();
  EXPECT_EQ(places.all.size(), 0u);
}

TEST(Tunnels, HaveABoundForAll) {
  Places places({.of_peer = 100, .of_all = 3});
  for (const auto* account : {"a", "b", "c"}) EXPECT_TRUE(places.enter(places.pod, account, nobody()));

  EXPECT_FALSE(places.enter(places.pod, "d", nobody()));
  EXPECT_EQ(places.all.size(), 3u);
}

// Four tunnels of one peer, of which all but the second have a stream; the fifth comes.
TEST(Tunnels, DrainTheOldestWithoutStreamsBeforeTheBoundIsReached) {
  TestMesh mesh({.client = {.engine = {.pool_streams = 1}}});
  Places places({.of_peer = 5, .of_all = 100});
  mesh.run([](TestMesh& m, Places& p) -> net::Task<> {
    std::vector<std::shared_ptr<TestMesh::Connection>> connections;
    for (int i = 0; i < 4; ++i) connections.push_back(co_await m.connect());
    EXPECT_EQ(m.controls.size(), 4u);
    connections[1]->client.shutdown_write();
    connections[1]->server.shutdown_write();
    EXPECT_TRUE(co_await hbone::soon(m.loop(), [&] { return m.controls.at(1)->idle(); }));
    for (const auto& control : m.controls) EXPECT_TRUE(p.enter(p.pod, "a", control));
    EXPECT_TRUE(m.served.empty());

    EXPECT_TRUE(p.enter(p.pod, "a", nobody()));

    EXPECT_TRUE(co_await hbone::soon(m.loop(), [&] { return m.served.size() == 1; }));
    EXPECT_FALSE(m.controls.at(1)->idle());
    for (const int i : {0, 2, 3}) EXPECT_TRUE(co_await hbone::answers(*connections[i])) << i;
  }(mesh, places));
}

}  // namespace
}  // namespace culvert::ztunnel
