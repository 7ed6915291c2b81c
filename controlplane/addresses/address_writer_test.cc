#include "controlplane/addresses/address_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <string>
#include <vector>

#include "common/base/format.h"
#include "common/config/parse.h"
#include "common/derive/allocate.h"
#include "common/kube/test_line.h"
#include "common/kube/test_peer.h"

namespace culvert::controlplane {
namespace {

using namespace std::chrono_literals;
using config::Key;
using kube::answer;
using testing::ElementsAre;
using testing::IsEmpty;

struct AddressWriterTest : testing::Test {
  net::Loop loop;
  std::vector<std::string> written;  // names of entries, in the order of the writes
  kube::Steps slow = {};             // before a write is answered
  kube::Peer peer{loop, [this](const http::Request& request) {
                    EXPECT_EQ(request.method, "PATCH");
                    const std::string before = "/apis/networking.istio.io/v1/namespaces/shop/serviceentries/";
                    EXPECT_TRUE(request.target.starts_with(before)) << request.target;
                    written.push_back(request.target.substr(before.size()));
                    kube::Steps steps = slow;
                    const bool refused = written.back().starts_with("refuses/");
                    for (auto& step : answer(refused ? 403 : 200, R"({"kind":"Status"})")) steps.push_back(std::move(step));
                    return steps;
                  }};
  kube::Client client{loop, peer.access()};
  derive::Objects objects;
  telemetry::Registry registry;
  AddressWriter writer{client, objects, registry};

  Key put(const std::string& name, const std::string& status = "", const std::string& labels = "") {
    const std::string yaml = culvert::format(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {0}, namespace: shop, labels: {{{2}}}}}\n"
        "spec: {{hosts: [{0}.example.com], ports: [{{number: 80, name: http}}], resolution: DNS}}\nstatus: {{addresses: "
        "[{1}]}}\n",
        name, status, labels);
    const auto file = config::parse_yaml("f", yaml);
    const Key key = config::key_of(*file.objects.at(0).object);
    objects.put(key, file.objects.at(0).object);
    writer.changed({key});
    return key;
  }
  // As the watch tells of what we wrote, with other labels or not.
  void echo(const std::string& name, const std::string& labels = "") {
    std::string status;
    const derive::Allocations all = derive::allocate(objects);
    for (const config::StatusAddress& one : all.at({config::Kind::kServiceEntry, "shop", name}))
      status += culvert::format("{}{{host: \"{}\", value: \"{}\"}}", status.empty() ? "" : ", ", one.host, one.value);
    put(name, status, labels);
  }
  double sought() {
    const std::string text = registry.text();
    const std::string name = "\nculvert_addresses_sought_total ";
    return std::stod(text.substr(text.find(name) + name.size()));
  }
  void until(std::size_t count, std::chrono::milliseconds most) {
    loop.run([](AddressWriterTest* test, std::size_t wanted, net::Clock::time_point end) -> net::Task<> {
      while (test->written.size() < wanted && net::Clock::now() < end) co_await net::sleep_for(test->loop, 5ms);
    }(this, count, net::Clock::now() + most));
  }
};

TEST_F(AddressWriterTest, WritesWhatIsMissingOnceAndOnlyWhileItLeads) {
  put("a");
  put("b");
  until(1, 100ms);
  EXPECT_THAT(written, IsEmpty());

  writer.lead(true);
  until(3, 300ms);
  EXPECT_THAT(written, ElementsAre("a/status", "b/status"));

  put("c");
  until(4, 300ms);
  EXPECT_THAT(written, ElementsAre("a/status", "b/status", "c/status")) << "a and b have not been heard of again yet";

  writer.lead(false);
  put("d");
  until(4, 100ms);
  EXPECT_EQ(written.size(), 3U);
}

TEST_F(AddressWriterTest, WhoHasLostTheLeaseAndHasNotBeenToldWritesNoMore) {
  bool leads = true;
  writer.lead(kube::Leadership([&] { return leads; }));
  put("a");
  until(1, 5s);

  leads = false;
  put("b");
  until(2, 100ms);
  EXPECT_THAT(written, ElementsAre("a/status"));
}

TEST_F(AddressWriterTest, WhoLosesTheLeaseWhileItWaitsForItsTurnWritesNothing) {
  put("a");
  kube::lose_in_line(loop, peer, client, [&](kube::Leadership leads) { writer.lead(std::move(leads)); });
  EXPECT_THAT(written, IsEmpty());

  writer.lead(true);
  until(1, 5s);
  EXPECT_THAT(written, ElementsAre("a/status"));
}

TEST_F(AddressWriterTest, WhatItsStatusSaysAlreadyIsNotWritten) {
  writer.lead(true);
  put("a", R"({host: a.example.com, value: 240.240.0.7}, {host: a.example.com, value: "2001:2::7"})");
  until(1, 100ms);
  EXPECT_THAT(written, IsEmpty());
}

TEST_F(AddressWriterTest, WhatSomebodyTakesAwayIsWrittenAgain) {
  writer.lead(true);
  put("a");
  until(1, 5s);
  put("a");
  until(2, 5s);
  EXPECT_THAT(written, ElementsAre("a/status", "a/status"));
}

// A first install is one look at all of them, not one for each that was written.
TEST_F(AddressWriterTest, WhatItWroteItselfIsNoReasonToLookAgain) {
  constexpr std::size_t kEntries = 200;
  for (std::size_t i = 0; i < kEntries; ++i) put(culvert::format("e{}", i));
  writer.lead(true);
  until(kEntries, 30s);
  ASSERT_EQ(written.size(), kEntries);
  loop.run([](net::Loop& on) -> net::Task<> { co_await net::sleep_for(on, 20ms); }(loop));
  const double before = sought();

  for (std::size_t i = 0; i < kEntries; ++i) {
    echo(culvert::format("e{}", i));
    loop.run([](net::Loop& on) -> net::Task<> { co_await net::sleep_for(on, 1ms); }(loop));
    writer.changed({{config::Kind::kServiceEntry, "shop", culvert::format("e{}", i)}});  // its conditions were written
    loop.run([](net::Loop& on) -> net::Task<> { co_await net::sleep_for(on, 1ms); }(loop));
  }

  EXPECT_EQ(before, 1);
  EXPECT_EQ(sought(), before);
  EXPECT_EQ(written.size(), kEntries);
  put("e0");
  until(kEntries + 1, 5s);
  EXPECT_EQ(written.size(), kEntries + 1) << "what somebody took away is seen";
}

TEST_F(AddressWriterTest, AnEchoWithAnotherChangeIsLookedAt) {
  put("a");
  writer.lead(true);
  until(1, 5s);

  echo("a", "networking.istio.io/enable-autoallocate-ip: \"false\"");
  until(2, 5s);

  EXPECT_THAT(written, ElementsAre("a/status", "a/status")) << "it may have none any more";
}

TEST_F(AddressWriterTest, OneThatRefusesHoldsUpNobodyAndIsTriedAgain) {
  writer.lead(true);
  put("refuses");
  until(1, 5s);
  put("z");
  until(2, 500ms);
  EXPECT_THAT(written, ElementsAre("refuses/status", "z/status"));
  until(3, 5s);
  EXPECT_THAT(written, ElementsAre("refuses/status", "z/status", "refuses/status"));
}

TEST(AddressPatch, ReplacesTheAddressesAndNothingElseOfTheStatus) {
  const auto request = address_patch(kube::collection_of(config::Kind::kServiceEntry), {config::Kind::kServiceEntry, "shop", "a"},
                                     {{"", "a.example.com", "240.240.0.7"}});

  EXPECT_EQ(request.target(), "/apis/networking.istio.io/v1/namespaces/shop/serviceentries/a/status");
  EXPECT_EQ(request.content_type, "application/merge-patch+json");
  EXPECT_EQ(boost::json::parse(request.body),
            boost::json::parse(R"({"status": {"addresses": [{"host": "a.example.com", "value": "240.240.0.7"}]}})"));
  EXPECT_EQ(
      boost::json::parse(
          address_patch(kube::collection_of(config::Kind::kServiceEntry), {config::Kind::kServiceEntry, "shop", "a"}, {}).body),
      boost::json::parse(R"({"status": {"addresses": []}})"));
}

}  // namespace
}  // namespace culvert::controlplane
