// Names on demand, over a stream: what is answered, and what is told later without being asked again.
#include "controlplane/xds/demand.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/format.h"
#include "controlplane/xds/test_stream.h"

namespace culvert::controlplane {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct DemandTest : StreamTest {
  static model::WorkloadRef at(const std::string& uid, const std::string& address, const std::string& service = "",
                               const std::string& node = "", model::Health health = model::Health::kHealthy) {
    model::Workload out;
    out.uid = uid;
    out.addresses = {*IpAddress::parse(address)};
    out.node = node;
    out.health = health;
    if (!service.empty()) out.services[service];
    return std::make_shared<const model::Workload>(out);
  }
  static model::WorkloadRef on_its_node(const std::string& uid, const std::string& address) {
    model::Workload out = *at(uid, address);
    out.network_mode = model::NetworkMode::kHostNetwork;
    return std::make_shared<const model::Workload>(out);
  }
  static model::ServiceRef service(const std::string& hostname, const std::string& vip) {
    model::Service out;
    out.name_space = "shop";
    out.hostname = hostname;
    out.vips = {{"", *Cidr::parse(vip + "/32")}, {"", *Cidr::parse("10.9.0.0/16")}};
    return std::make_shared<const model::Service>(out);
  }
  static model::ServiceRef ranges(const std::string& hostname, const std::vector<std::string>& all,
                                  const std::string& network = "") {
    model::Service out;
    out.name_space = "shop";
    out.hostname = hostname;
    for (const std::string& range : all) out.vips.push_back({network, *Cidr::parse(range)});
    return std::make_shared<const model::Service>(out);
  }
  void change_service(model::ServiceRef one) {
    derive::Delta delta;
    delta.services = {std::move(one)};
    snapshot.apply(delta);
  }
  void begin(const std::string& node = "") {
    xds::Request request = ask(Type::kAddress);
    request.subscribe = request.unsubscribe = {"*"};
    if (!node.empty()) request.node = {.id = "ztunnel", .metadata = {{"NODE_NAME", node}}};
    stream.receive(request, snapshot);
  }
  void come_back(const std::vector<std::string>& held, const std::vector<std::string>& addresses = {}) {
    std::map<std::string, std::string> versions;
    for (const std::string& name : held) versions[name] = version(Type::kAddress, name);
    for (const std::string& name : addresses) versions[name] = "";
    xds::Request request = ask(Type::kAddress);
    request.subscribe = request.unsubscribe = {"*"};
    request.initial_versions = xds::Versions(versions);
    stream.receive(request, snapshot);
  }
  std::vector<std::string> told() {
    acknowledge_all();
    return poll();
  }
  std::vector<std::string> asked(std::vector<std::string> names) {
    acknowledge_all();
    xds::Request request = ask(Type::kAddress);
    request.subscribe = std::move(names);
    stream.receive(request, snapshot);
    return poll();
  }
};

TEST_F(DemandTest, AnAddressIsAnsweredByAllThatHaveIt) {
  change({at("w1", "10.0.0.1"), at("w2", "10.0.0.1"), at("w3", "10.0.0.3")});
  change_service(service("web", "10.0.0.1"));
  begin();
  EXPECT_THAT(told(), ElementsAre("WDS"));

  EXPECT_THAT(asked({"/10.0.0.1"}), ElementsAre("WDS +shop/web +w1 +w2"));
  EXPECT_THAT(asked({"/10.0.0.9", "other/10.0.0.1", "/10.9.0.0/16", "nonsense"}),
              ElementsAre("WDS +shop/web -/10.0.0.9 -nonsense -other/10.0.0.1"))
      << "a range is found as it is written";
}

TEST_F(DemandTest, AnswersSayWhatTheyAreTheAnswerTo) {
  change({at("w1", "10.0.0.1")});
  change_service(service("web", "10.0.0.2"));
  begin();
  told();
  acknowledge_all();
  xds::Request request = ask(Type::kAddress);
  request.subscribe = {"/10.0.0.1", "/10.0.0.2"};
  stream.receive(request, snapshot);

  const auto pushes = stream.poll(snapshot);

  ASSERT_EQ(pushes.size(), 1U);
  const xds::Response response = received(pushes[0]);
  ASSERT_EQ(response.resources.size(), 2U);
  EXPECT_THAT(response.resources[0].aliases, ElementsAre("/10.0.0.1"));
  EXPECT_THAT(response.resources[1].aliases, ElementsAre("/10.0.0.2", "/10.9.0.0/16"));
}

TEST_F(DemandTest, WhoWantsAllIsSentNoAliases) {
  change({at("w1", "10.0.0.1")});
  stream.receive(ask(Type::kAddress), snapshot);
  EXPECT_THAT(received(stream.poll(snapshot).at(0)).resources.at(0).aliases, IsEmpty());
}

TEST_F(DemandTest, AServiceComesWithItsEndpoints) {
  change({at("w1", "10.0.0.1", "shop/web"), at("w2", "10.0.0.2", "shop/web"), at("w3", "10.0.0.3")});
  change_service(service("web", "10.1.0.1"));
  begin();
  told();
  EXPECT_THAT(asked({"/10.1.0.1"}), ElementsAre("WDS +shop/web +w1 +w2"));

  change({at("w4", "10.0.0.4", "shop/web"), at("w5", "10.0.0.5")});
  EXPECT_THAT(told(), ElementsAre("WDS +w4"));
  change({at("w1", "10.0.0.1", "shop/web", "", model::Health::kUnhealthy)}, {}, {"w2", "w3"});
  EXPECT_THAT(told(), ElementsAre("WDS +w1 -w2"));
}

TEST_F(DemandTest, WhoComesToHaveAnAddressIsTold) {
  change({at("w1", "10.0.0.1"), at("w2", "10.0.0.2", "shop/web")});
  begin();
  told();
  EXPECT_THAT(asked({"/10.0.0.7", "/10.1.0.1"}), ElementsAre("WDS -/10.0.0.7 -/10.1.0.1"));

  change({at("w1", "10.0.0.7")});
  EXPECT_THAT(told(), ElementsAre("WDS +w1"));
  change_service(service("web", "10.1.0.1"));
  EXPECT_THAT(told(), ElementsAre("WDS +shop/web +w2"));
  change({at("w1", "10.0.0.8")});
  EXPECT_THAT(told(), ElementsAre("WDS +w1")) << "it has it no more, and the client must know";
}

// Which of them owns the address depends on who connects to it: the ranges of its own namespace come first.
TEST_F(DemandTest, AnAddressIsAnsweredByEveryRangeThatItIsIn) {
  change({at("w1", "10.9.1.1"), at("w2", "10.0.0.2", "shop/wide")});
  change_service(ranges("wide", {"10.9.0.0/16", "fd00::/64"}));
  change_service(ranges("close", {"10.9.1.0/24", "10.9.1.0/28"}));
  change_service(ranges("other", {"10.9.1.0/24"}, "net"));
  begin();
  told();

  EXPECT_THAT(asked({"/10.9.1.1"}), ElementsAre("WDS +w1 +shop/close +shop/wide +w2"));
  EXPECT_THAT(asked({"/fd00::1", "net/10.9.1.77", "/10.10.0.1", "net/fd00::1"}),
              ElementsAre("WDS +shop/wide +shop/other -/10.10.0.1 -net/fd00::1"));
}

TEST_F(DemandTest, ARangeSaysWhichAddressesItIsTheAnswerTo) {
  change_service(ranges("wide", {"10.9.0.0/16"}));
  begin();
  told();
  acknowledge_all();
  xds::Request request = ask(Type::kAddress);
  request.subscribe = {"/10.9.0.1", "/10.9.0.2", "/10.9.0.0/16"};
  stream.receive(request, snapshot);

  const xds::Response response = received(stream.poll(snapshot).at(0));

  ASSERT_EQ(response.resources.size(), 1U);
  EXPECT_THAT(response.resources[0].aliases, ElementsAre("/10.9.0.0/16", "/10.9.0.1", "/10.9.0.2"));
}

TEST_F(DemandTest, WhoComesToHaveARangeAroundAnAddressIsTold) {
  change_service(ranges("wide", {"10.9.0.0/16"}));
  begin();
  told();
  EXPECT_THAT(asked({"/10.9.1.1", "/10.200.0.1"}), ElementsAre("WDS +shop/wide -/10.200.0.1"));

  change_service(ranges("beside", {"10.9.2.0/24"}));
  EXPECT_THAT(told(), IsEmpty());
  change_service(ranges("close", {"10.9.1.0/24"}));
  EXPECT_THAT(told(), ElementsAre("WDS +shop/close"));
  change_service(ranges("beside", {"10.200.0.0/16"}));
  EXPECT_THAT(told(), ElementsAre("WDS +shop/beside"));
  change_service(ranges("close", {"10.9.3.0/24"}));
  EXPECT_THAT(told(), ElementsAre("WDS +shop/close")) << "it has it no more, and the client must know";
  change({}, {}, {"shop/wide"});
  EXPECT_THAT(told(), ElementsAre("WDS -shop/wide"));
  change_service(ranges("wide", {"10.0.0.0/8"}));
  EXPECT_THAT(told(), ElementsAre("WDS +shop/wide")) << "the address is still asked for";
}

TEST_F(DemandTest, AnAddressThatIsWantedNoMoreIsFollowedByItsOtherName) {
  begin();
  told();
  EXPECT_THAT(asked({"/fd00::1", "/fd00:0::1"}), ElementsAre("WDS -/fd00:0::1 -/fd00::1"));
  acknowledge_all();
  xds::Request request = ask(Type::kAddress);
  request.unsubscribe = {"/fd00:0::1"};
  stream.receive(request, snapshot);

  change_service(ranges("wide", {"fd00::/64"}));

  EXPECT_THAT(told(), ElementsAre("WDS +shop/wide"));
}

// Thousands of services with a range each: an address costs as much as there are prefix lengths.
TEST_F(DemandTest, AnAddressIsNotComparedWithEachRange) {
  constexpr std::size_t kServices = 2'000;
  derive::Delta delta;
  for (std::size_t i = 0; i < kServices; ++i)
    delta.services.push_back(ranges("s" + std::to_string(i), {culvert::format("10.{}.{}.0/24", i >> 8, i & 255)}));
  snapshot.apply(delta);
  begin();
  told();

  EXPECT_THAT(asked({"/10.3.7.1"}), ElementsAre("WDS +shop/s775"));

  EXPECT_LE(stream.demand(Type::kAddress).looked_at(), 2U);
  change_service(ranges("s775", {"10.3.7.0/24", "10.4.0.0/16"}));
  EXPECT_THAT(told(), ElementsAre("WDS +shop/s775"));
  EXPECT_LE(stream.demand(Type::kAddress).looked_at(), 4U);
}

TEST_F(DemandTest, WhatIsAskedForAgainIsAnsweredAgain) {
  change({at("w1", "10.0.0.1")});
  begin();
  told();
  EXPECT_THAT(asked({"w1"}), ElementsAre("WDS +w1"));
  EXPECT_THAT(asked({"/10.0.0.1"}), ElementsAre("WDS +w1"));
}

TEST_F(DemandTest, WhatRunsOnTheOwnNodeIsGivenUnasked) {
  change({at("w1", "10.0.0.1", "", "n1"), at("w2", "10.0.0.2", "", "n2")});
  begin("n1");
  EXPECT_THAT(told(), ElementsAre("WDS +w1"));

  change({at("w3", "10.0.0.3", "", "n1"), at("w4", "10.0.0.4", "", "n2")}, {}, {"w1"});
  EXPECT_THAT(told(), ElementsAre("WDS +w3 -w1"));
}

TEST_F(DemandTest, WhoComesBackGetsWhatDiffersAndWhatItStillWaitsFor) {
  change({at("w1", "10.0.0.1", "shop/web"), at("w2", "10.0.0.2", "shop/web"), at("w3", "10.0.0.3")});
  change_service(service("web", "10.1.0.1"));
  xds::Request request = ask(Type::kAddress);
  request.subscribe = request.unsubscribe = {"*"};
  request.initial_versions = xds::Versions(std::map<std::string, std::string>{{"shop/web", version(Type::kAddress, "shop/web")},
                                                                              {"w1", version(Type::kAddress, "w1")},
                                                                              {"gone", "1"},
                                                                              {"/10.0.0.3", ""},
                                                                              {"/10.0.0.9", ""}});
  stream.receive(request, snapshot);

  EXPECT_THAT(poll(), ElementsAre("WDS +w3 +w2 -/10.0.0.9 -gone"));
}

// ztunnel brings along the addresses that it was answered, but none of which it was once told that nobody has them; others bring none.
TEST_F(DemandTest, WhoComesBackIsToldWhoElseHasTheAddressesOfWhatItHolds) {
  change({at("w1", "10.0.0.1"), on_its_node("h1", "10.0.0.100"), on_its_node("h2", "10.0.0.100")});
  change_service(service("web", "10.1.0.1"));
  come_back({"w1", "h1", "shop/web"});
  EXPECT_THAT(told(), ElementsAre("WDS"));

  change({at("w1", "10.0.0.5"), at("w2", "10.0.0.1")});
  EXPECT_THAT(told(), ElementsAre("WDS +w1 +w2"));
  change_service(service("other", "10.1.0.1"));
  EXPECT_THAT(told(), ElementsAre("WDS +shop/other"));
  change_service(ranges("wide", {"10.0.0.0/24"}));
  EXPECT_THAT(told(), ElementsAre("WDS +shop/wide"));
  change({on_its_node("h3", "10.0.0.100")});
  EXPECT_THAT(told(), IsEmpty()) << "an address of a node is nobody's own";
}

TEST_F(DemandTest, WhoComesBackIsToldWhoHasCome) {
  change({at("w1", "10.0.0.1"), at("w2", "10.0.0.1"), at("w3", "10.0.0.3")});
  change_service(ranges("wide", {"10.0.0.0/24"}));

  come_back({"w1"});

  EXPECT_THAT(told(), ElementsAre("WDS +shop/wide +w2"));
}

TEST_F(DemandTest, AddressesThatAreBroughtAlongAreFollowed) {
  change({at("w1", "10.0.0.1")});
  come_back({"w1"}, {"/10.0.0.1", "/10.0.0.2"});
  EXPECT_THAT(told(), ElementsAre("WDS +w1 -/10.0.0.2")) << "it may still wait for them";

  change({at("w1", "10.0.0.3"), at("w2", "10.0.0.1"), at("w3", "10.0.0.2")});

  EXPECT_THAT(told(), ElementsAre("WDS +w1 +w2 +w3"));
}

TEST_F(DemandTest, WhoSubscribesToWhatItBringsAlongIsNotSentItAgainUnlessItAsksForIt) {
  change({at("w1", "10.0.0.1"), at("w2", "10.0.0.2")});
  xds::Request request = ask(Type::kAddress);
  request.subscribe = {"w1", "w2"};
  request.initial_versions = xds::Versions(
      std::map<std::string, std::string>{{"w1", version(Type::kAddress, "w1")}, {"w2", version(Type::kAddress, "w2")}});
  stream.receive(request, snapshot);
  EXPECT_THAT(asked({"w2"}), ElementsAre("WDS +w2"));

  change({}, {}, {"w1"});

  EXPECT_THAT(told(), ElementsAre("WDS -w1"));
}

TEST_F(DemandTest, NamesThatAreWantedNoMoreAreForgotten) {
  change({at("w1", "10.0.0.1"), at("w2", "10.0.0.2")});
  begin();
  told();
  asked({"w1", "/10.0.0.5"});
  acknowledge_all();
  xds::Request request = ask(Type::kAddress);
  request.unsubscribe = {"w1", "/10.0.0.5"};
  stream.receive(request, snapshot);

  change({at("w1", "10.0.0.3"), at("w2", "10.0.0.5")});

  EXPECT_THAT(told(), IsEmpty());
  EXPECT_EQ(stream.kept(), 0U);
}

// One that wants all, and some of it by name.
struct WildcardDemandTest : DemandTest {
  void SetUp() override {
    change({at("w1", "10.0.0.1"), at("w2", "10.0.0.2", "shop/web")});
    change_service(service("web", "10.1.0.1"));
  }
  void begin_with_all(const std::vector<std::string>& names = {}) {
    xds::Request request = ask(Type::kAddress);
    request.subscribe = names;
    request.subscribe.push_back("*");
    stream.receive(request, snapshot);
  }
};

TEST_F(WildcardDemandTest, WhatIsAskedForWhileItChangesIsSentOnce) {
  begin_with_all();
  told();
  change({at("w1", "10.0.0.1", "", "", model::Health::kUnhealthy), at("w2", "10.0.0.2", "shop/web", "n1"), at("w3", "10.0.0.3")});
  change_service(service("web", "10.1.0.2"));

  EXPECT_THAT(asked({"/10.0.0.1", "/10.1.0.2"}), ElementsAre("WDS +w1 +shop/web +w2 +w3"));
}

TEST_F(WildcardDemandTest, WhatIsAskedForWhileItGoesIsToldOnce) {
  begin_with_all();
  told();
  change({}, {}, {"w1"});

  EXPECT_THAT(asked({"w1", "/10.0.0.1"}), ElementsAre("WDS -/10.0.0.1 -w1"));
}

TEST_F(WildcardDemandTest, WhatItBeginsWithIsSentOnce) {
  begin_with_all({"/10.1.0.1", "w9"});
  EXPECT_THAT(poll(), ElementsAre("WDS +shop/web +w2 +w1 -w9"));
}

TEST_F(WildcardDemandTest, WhatDiffersFromWhatItBringsAlongIsSentOnce) {
  xds::Request request = ask(Type::kAddress);
  request.subscribe = {"*", "/10.0.0.1", "w1", "w9"};
  request.initial_versions = xds::Versions(std::map<std::string, std::string>{{"w1", "old"}, {"w9", "old"}});
  stream.receive(request, snapshot);

  EXPECT_THAT(poll(), ElementsAre("WDS +w1 +shop/web +w2 -w9"));
}

TEST_F(WildcardDemandTest, AnEndpointThatComesWithItsServiceIsSentOnce) {
  begin_with_all();
  told();
  EXPECT_THAT(asked({"/10.1.0.9"}), ElementsAre("WDS -/10.1.0.9"));

  change({at("w4", "10.0.0.4", "shop/other")});
  change_service(service("other", "10.1.0.9"));

  EXPECT_THAT(told(), ElementsAre("WDS +w4 +shop/other"));
}

TEST_F(WildcardDemandTest, WhoWantsAllNoMoreIsToldWhatBecomesOfWhatItNamed) {
  begin_with_all();
  told();
  asked({"/10.1.0.1"});
  change({at("w4", "10.0.0.4", "shop/web"), at("w5", "10.0.0.5")}, {}, {"w2"});
  EXPECT_THAT(told(), ElementsAre("WDS +w4 +w5 -w2"));
  acknowledge_all();
  xds::Request request = ask(Type::kAddress);
  request.unsubscribe = {"*"};
  stream.receive(request, snapshot);
  const std::size_t kept = stream.kept();

  change({at("w6", "10.0.0.6", "shop/web")}, {}, {"w1", "w4", "w5"});

  EXPECT_THAT(told(), ElementsAre("WDS +w6 -w4"));
  EXPECT_EQ(stream.kept(), kept) << "one endpoint for another";
}

// What thousands of names cost is what they lead to, among however many workloads.
TEST_F(DemandTest, ThousandsOfNamesAreLookedAtOnce) {
  constexpr std::size_t kWorkloads = 20'000, kAsked = 5'000;
  std::vector<model::WorkloadRef> all;
  const auto address = [](std::size_t index) {
    return culvert::format("10.{}.{}.{}", index >> 16, index >> 8 & 255, index & 255);
  };
  for (std::size_t i = 0; i < kWorkloads; ++i)
    all.push_back(at("w" + std::to_string(i), address(i), "shop/app-" + std::to_string(i / 10)));
  change(std::move(all));
  begin();
  told();
  EXPECT_EQ(stream.demand(Type::kAddress).looked_at(), 0U);

  std::vector<std::string> names;
  for (std::size_t i = 0; i < kAsked; ++i) names.push_back("/" + address(2 * i));
  acknowledge_all();
  xds::Request request = ask(Type::kAddress);
  request.subscribe = names;
  stream.receive(request, snapshot);
  const auto pushes = stream.poll(snapshot);
  ASSERT_EQ(pushes.size(), 1U);
  EXPECT_EQ(pushes[0].resources.size(), kAsked);
  EXPECT_LE(stream.demand(Type::kAddress).looked_at(), 2 * kAsked) << "each name, and what it leads to";

  const std::size_t before = stream.demand(Type::kAddress).looked_at();
  nonce[Type::kAddress] = pushes[0].nonce;
  change({at("w0", "10.200.0.1"), at("w1", "10.200.0.2")});
  EXPECT_THAT(told(), ElementsAre("WDS +w0"));
  EXPECT_LE(stream.demand(Type::kAddress).looked_at() - before, 4U) << "what has changed, and no more";
}

}  // namespace
}  // namespace culvert::controlplane
