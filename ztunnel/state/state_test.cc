#include "ztunnel/state/state.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "common/net/timer.h"
#include "common/rpc/server.h"
#include "common/tls/authority.h"
#include "common/xds/codec.h"

namespace culvert::ztunnel {
namespace {

using namespace std::chrono_literals;

// A control plane of which the test plays every part, and one worker.
struct ControlPlane : testing::Test {
  std::string folder;
  net::Loop loop;
  net::LoopThread worker{"worker"};
  std::vector<xds::Request> asked;
  rpc::CallRef stream;
  std::unique_ptr<rpc::CallServer> server;
  Settings settings;
  int changes = 0;
  std::optional<State> state;
  std::shared_ptr<net::Published<model::Mesh>::View> view;
  std::atomic<int> switches = 0;

  ControlPlane() {
    char pattern[] = "/tmp/culvert-state-XXXXXX";
    folder = ::mkdtemp(pattern);
    const auto root = tls::Authority::make_root("cluster.local").value();
    const std::string name = "localhost";
    const auto address = IpAddress::v4(0x7f000001);
    const auto pair = root.make_server({&name, 1}, {&address, 1}, 1h).value();
    std::ofstream(folder + "/root.pem") << root.certificate().pem();
    std::ofstream(folder + "/server.pem") << pair.leaf().pem();
    std::ofstream(folder + "/server.key") << pair.key().private_pem();
    settings.xds_root_ca = folder + "/root.pem";
  }
  ~ControlPlane() override {
    worker.call([this] { view.reset(); });
    state.reset();
    stream.reset();
    server.reset();
    std::filesystem::remove_all(folder);
  }
  Status start() {
    state.emplace(loop, settings, [this] { ++changes; });
    view = state->mesh().view(worker.loop());
    worker.call([this] { view->on_change([this] { ++switches; }); });
    return state->start();
  }
  void serve() {
    server = rpc::CallServer::start(
                 loop, {.address = "127.0.0.1:0", .certificate_file = folder + "/server.pem", .key_file = folder + "/server.key"},
                 [this](rpc::CallRef call) {
                   call->proved("a test");
                   stream = call;
                   call->accept({[this](std::string message) { asked.push_back(xds::decode_request(message).value()); }, {}, {}});
                 })
                 .value();
    settings.xds_address = "https://127.0.0.1:" + std::to_string(server->port());
    ASSERT_TRUE(start());
    until([&] { return asked.size() == 2; });
  }
  void until(const std::function<bool()>& done) {
    loop.run([](net::Loop* on, const std::function<bool()>* enough) -> net::Task<> {
      const auto end = net::Clock::now() + 10s;
      while (!(*enough)() && net::Clock::now() < end) co_await net::sleep_for(*on, 2ms);
    }(&loop, &done));
    EXPECT_TRUE(done());
  }
  void pass(net::Clock::duration time) {
    loop.run(
        [](net::Loop* on, net::Clock::duration how_long) -> net::Task<> { co_await net::sleep_for(*on, how_long); }(&loop, time));
  }
  void answer(std::string_view type, std::vector<xds::Resource> resources) {
    for (auto& resource : resources) resource.type_url = type;
    stream->send(xds::encode(xds::Response{std::string(type), std::string(type), std::move(resources), {}}));
  }
  static xds::Resource workload(std::string_view uid) {
    model::Workload out;
    out.uid = uid;
    return {out.uid, "1", "", xds::encode(out)};
  }
  static xds::Resource policy(std::string_view name) {
    const model::Policy out{.name = std::string(name), .name_space = "ns", .scope = model::Policy::Scope::kNamespace};
    return {out.key(), "1", "", xds::encode(out)};
  }
};

// Workloads without their policies would be open to everybody.
TEST_F(ControlPlane, NothingIsInForceBeforeWorkloadsAndPoliciesHaveBothArrived) {
  serve();

  answer(xds::kAddressType, {workload("a")});
  answer(xds::kAddressType, {workload("b")});
  pass(100ms);

  EXPECT_EQ(state->mesh().get()->workload_count(), 0u);
  EXPECT_EQ(switches, 0);
  EXPECT_EQ(changes, 0);
  EXPECT_FALSE(state->ready());
  EXPECT_EQ(asked.size(), 2u) << "nothing is acknowledged that is not in force";

  answer(xds::kAuthorizationType, {policy("p")});
  until([&] { return asked.size() == 5; });

  EXPECT_TRUE(state->ready());
  EXPECT_EQ(switches, 1) << "all at once";
  EXPECT_EQ(state->mesh().get()->workload_count(), 2u);
  EXPECT_EQ(state->mesh().get()->policy_count(), 1u);
}

TEST_F(ControlPlane, AnEmptyConfigurationIsOne) {
  serve();

  answer(xds::kAuthorizationType, {});
  answer(xds::kAddressType, {});
  until([&] { return asked.size() == 4; });

  EXPECT_TRUE(state->ready());
}

TEST_F(ControlPlane, IsReadyOnlyOnceTheWorkersHaveIt) {
  serve();
  std::atomic<bool> go = false;
  worker.loop().post([&] {
    while (!go) std::this_thread::yield();
  });

  answer(xds::kAddressType, {workload("a")});
  answer(xds::kAuthorizationType, {});
  until([&] { return state->mesh().get()->workload_count() == 1; });
  answer(xds::kAuthorizationType, {});  // changes nothing, and must not overtake
  pass(50ms);
  EXPECT_FALSE(state->ready());
  EXPECT_EQ(asked.size(), 2u);

  go = true;
  until([&] { return asked.size() == 5; });
  EXPECT_TRUE(state->ready());
}

TEST_F(ControlPlane, AFileIsInForceAtOnce) {
  settings.local_xds_path = folder + "/mesh.yaml";
  std::ofstream(folder + "/mesh.yaml") << "workloads: [{uid: a}]";

  ASSERT_TRUE(start());
  EXPECT_FALSE(state->ready());
  until([&] { return state->ready(); });

  EXPECT_EQ(state->mesh().get()->workload_count(), 1u);
  EXPECT_EQ(changes, 1);
}

TEST_F(ControlPlane, WithoutASourceThereIsNoStart) {
  settings.xds_address = "";

  EXPECT_EQ(start().error().text, "neither XDS_ADDRESS nor LOCAL_XDS_PATH is set: nothing says what the mesh is");
}

}  // namespace
}  // namespace culvert::ztunnel
