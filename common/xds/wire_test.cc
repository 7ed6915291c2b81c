#include "common/xds/wire.h"

#include <gtest/gtest.h>

#include "proto/discovery.pb.h"

namespace culvert::xds {
namespace {

TEST(Wire, ARequestSurvivesTheWay) {
  const Request request{.node = {.id = "ztunnel~1.1.1.1~p.ns~ns.svc.cluster.local",
                                 .metadata = {{"NAME", "p"}},
                                 .json_metadata = {{"LABELS", R"({"a":"b"})"}}},
                        .type_url = std::string(kAddressType),
                        .subscribe = {"*"},
                        .unsubscribe = {"x"},
                        .initial_versions = {{"a", "1"}, {"b", ""}},
                        .nonce = "7",
                        .error = "a: bad; b: worse"};

  const auto read = decode_request(encode(request));

  ASSERT_TRUE(read);
  EXPECT_EQ(*read, request);
}

TEST(Wire, SumsSurviveTheWay) {
  const Request request{.type_url = "t", .knows_sums = true, .sums = std::string(kParts * kSumSize, '\xff')};
  Response response{.type_url = "t", .nonce = "1", .knows_sums = true};
  EXPECT_EQ(decode_request(encode(request)).value(), request);
  EXPECT_EQ(decode_response(encode(response)).value(), response);

  response.asked.set(17);

  EXPECT_EQ(decode_response(encode(response)).value(), response);
}

TEST(Wire, WhoKnowsNothingOfSumsIsTakenAtThat) {
  const Request request{.type_url = "t", .subscribe = {"*"}};
  EXPECT_EQ(decode_request(encode(request)).value(), request);

  envoy::service::discovery::v3::DeltaDiscoveryRequest other;
  other.set_culvert_sum_scheme("culvert.sums.2");
  other.set_culvert_sums("what it may be");
  envoy::service::discovery::v3::DeltaDiscoveryResponse asks;
  asks.set_culvert_sum_scheme("culvert.sums.2");
  asks.set_culvert_parts_asked("what it may be");

  EXPECT_EQ(decode_request(other.SerializeAsString()).value(), Request());
  EXPECT_EQ(decode_response(asks.SerializeAsString()).value(), Response());
}

TEST(Wire, SumsAndPartsOfAnotherSizeAreRefused) {
  for (const std::size_t size : {1UL, kParts * kSumSize - 1, kParts * kSumSize + 1})
    EXPECT_EQ(decode_request(encode(Request{.knows_sums = true, .sums = std::string(size, 'x')})).error().text,
              std::to_string(size) + " bytes of sums");
  envoy::service::discovery::v3::DeltaDiscoveryResponse asks;
  asks.set_culvert_sum_scheme(std::string(kSumScheme));
  asks.set_culvert_parts_asked("xx");

  EXPECT_EQ(decode_response(asks.SerializeAsString()).error().text, "2 bytes of parts, not 1024");
}

TEST(Wire, ANodeIsLeftOutWithoutId) {
  envoy::service::discovery::v3::DeltaDiscoveryRequest raw;
  ASSERT_TRUE(raw.ParseFromString(encode(Request{.type_url = "t", .nonce = "1"})));

  EXPECT_FALSE(raw.has_node());
  EXPECT_FALSE(raw.has_error_detail());
}

TEST(Wire, ARequestMayHoldMuchAndAskForLittle) {
  Request holds;
  for (int i = 0; i < 100'000; ++i) holds.initial_versions.emplace(std::to_string(1'000'000 + i), "0123456789abcdef");
  Request asks;
  for (int i = 0; i < 300'000; ++i) asks.subscribe.push_back("ab");
  Request says{.node = {.id = "n", .metadata = {{"NAME", std::string(kMostNode, 'x')}}}};

  EXPECT_TRUE(decode_request(encode(holds)));
  EXPECT_FALSE(decode_request(encode(asks)));
  EXPECT_FALSE(decode_request(encode(says)));
}

TEST(Wire, MetadataThatIsNotJsonTravelsAsText) {
  const auto read = decode_request(encode(Request{.node = {.id = "n", .json_metadata = {{"X", "{not json"}}}}));

  ASSERT_TRUE(read);
  EXPECT_EQ(read->node.metadata.at("X"), "{not json");
}

TEST(Wire, AResponseSurvivesTheWayAndReadsAsTheMessage) {
  const Response response{
      .type_url = std::string(kAuthorizationType),
      .nonce = "9",
      .resources = {{"ns/a", "v1", std::string(kAuthorizationType), std::string(300, 'x')}, {"ns/b", "", "t", ""}},
      .removed = {"ns/c", "ns/d"}};
  const std::string bytes = encode(response);

  const auto read = decode_response(bytes);
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, response);
  envoy::service::discovery::v3::DeltaDiscoveryResponse raw;
  ASSERT_TRUE(raw.ParseFromString(bytes));
  EXPECT_EQ(raw.type_url(), kAuthorizationType);
  EXPECT_EQ(raw.resources(0).resource().value().size(), 300u);
  EXPECT_EQ(raw.removed_resources(1), "ns/d");
}

TEST(Wire, AResourceMayAnswerToOtherNames) {
  const Resource resource{.name = "uid", .version = "1", .type_url = std::string(kAddressType), .value = "x"};

  const auto read =
      decode_resource(with_aliases(encode_resource(resource), std::vector<std::string>{"net/10.0.0.1", "/fd00::1"}));

  ASSERT_TRUE(read);
  EXPECT_EQ(read->aliases, (std::vector<std::string>{"net/10.0.0.1", "/fd00::1"}));
  EXPECT_EQ(read->name, "uid");
  EXPECT_EQ(*decode_resource(encode_resource(*read)), *read);
}

TEST(Wire, GarbageIsRefused) {
  EXPECT_FALSE(decode_request("\xff\xff\xff"));
  EXPECT_FALSE(decode_response("\x12\x7f"));
}

}  // namespace
}  // namespace culvert::xds
