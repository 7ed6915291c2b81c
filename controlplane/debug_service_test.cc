#include "controlplane/debug_service.h"

#include <gtest/gtest.h>

#include "common/base/format.h"
#include "common/base/version.h"

namespace culvert::controlplane {
namespace {

// The wire by hand, so that a number that is wrong in our protos is seen: fields below 16, texts below 16,384 bytes.
std::string number(std::uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>((value & 0x7f) | 0x80);
  return out + static_cast<char>(value);
}
std::string field(int at, const std::string& bytes) { return static_cast<char>(at << 3 | 2) + number(bytes.size()) + bytes; }
std::string field(int at, std::uint64_t value) { return static_cast<char>(at << 3) + number(value); }

// What `istioctl proxy-status` reads: envoy.service.discovery.v3.DiscoveryResponse with a envoy.service.status.v3.ClientConfig for each proxy.
TEST(DebugService, SyncStatusIsByteForByteWhatIstioctlReads) {
  const auto at = std::chrono::system_clock::time_point(std::chrono::seconds(1'700'000'000) + std::chrono::milliseconds(250));
  XdsService::Client client;
  client.self = {.id = "ztunnel~10.0.0.9~ztunnel-x.istio-system~istio-system.svc.cluster.local",
                 .metadata = {{"CLUSTER_ID", "c1"}}};
  client.channels.push_back(
      {.type = Type::kAddress, .progress = {}, .nonce_sent = "7", .nonce_acked = "7", .sent_at = at, .nacked = {}});
  client.channels.push_back(
      {.type = Type::kAuthorization, .progress = {}, .nonce_sent = "8", .nonce_acked = "7", .sent_at = at, .nacked = {}});

  const std::string got = syncz_response({client}, "culvertd-0");

  const std::string time = field(1, std::uint64_t{1'700'000'000}) + field(2, std::uint64_t{250'000'000});
  const auto standing = [&](const std::string& type, std::uint64_t status) {
    return field(3, field(1, "type.googleapis.com/" + type) + field(5, time) + field(6, status));
  };
  const std::string metadata = field(1, field(1, std::string("CLUSTER_ID")) + field(2, field(3, std::string("c1"))));
  const std::string config = field(1, field(1, client.self.id) + field(3, metadata)) +
                             standing("istio.workload.Address", 1) +       // SYNCED
                             standing("istio.security.Authorization", 3);  // STALE
  const std::string identifier =
      culvert::format(R"({{"Component":"istiod","ID":"culvertd-0","Info":{{"version":"{}"}}}})", kVersion);
  const std::string any = field(1, std::string("type.googleapis.com/envoy.service.status.v3.ClientConfig")) + field(2, config);
  EXPECT_EQ(got, field(1, std::string("1")) + field(2, any) + field(4, std::string("istio.io/debug/syncz")) +
                     field(5, std::string("1")) + field(6, field(1, identifier)));
}

}  // namespace
}  // namespace culvert::controlplane
