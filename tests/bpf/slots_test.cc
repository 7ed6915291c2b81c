// The slots that hold ztunnel's listeners: emptied, taken over and filled again.

#include <arpa/inet.h>
#include <bpf/bpf.h>

#include "bpf/include/culvert_abi.h"
#include "common/base/format.h"
#include "tests/bpf/lifecycle.h"

namespace culvert::bpf_test {
namespace {

using testing::StartsWith;

class Slots : public Lifecycle {};

TEST_F(Slots, ASlotEmptiedByASuccessorsDeathIsRefilledFromTheSiblings) {
  auto datapath = lab_.load();
  enrol_all(datapath);
  auto successor = lab_.ztunnel("a");  // its sockets took the slots over at listen()
  successor->end();
  EXPECT_EQ(lab_.dial("a", "10.77.0.4:80"), "refused");
  EXPECT_FALSE(must(datapath.slots(lab_.pod("a").cookie)).outbound.v4);

  must(datapath.refill_listeners(ztunnels_["a"]->pid()));

  EXPECT_THAT(lab_.dial("a", "10.77.0.4:80"), StartsWith("outbound"));
  EXPECT_THAT(lab_.dial("a", "[fd77::4]:80"), StartsWith("outbound"));
  EXPECT_THAT(lab_.query(lab_.place("a"), "192.0.2.53:53"), StartsWith("dns"));
  const auto slots = must(datapath.slots(lab_.pod("a").cookie));
  EXPECT_TRUE(slots.outbound.v4 && slots.outbound.v6 && slots.inbound.v4 && slots.dns_tcp.v4 && slots.dns_udp.v6);
}

TEST_F(Slots, AnEmptySlotOfOneFamilyIsSeenAndRefusesThatFamily) {
  auto datapath = lab_.load();
  enrol_all(datapath);
  const Fd listeners(
      bpf_obj_get((lab_.pins() / culvert::format("shared-v{}", CULVERT_SHARED_ABI_VERSION) / "listeners").c_str()));
  culvert_listener_key key{};
  key.netns_cookie = lab_.pod("a").cookie;
  key.port = htons(15001);
  key.family = AF_INET;
  key.protocol = IPPROTO_TCP;
  ASSERT_EQ(bpf_map_delete_elem(listeners.get(), &key), 0);

  const auto slots = must(datapath.slots(lab_.pod("a").cookie));
  EXPECT_FALSE(slots.outbound.v4);
  EXPECT_TRUE(slots.outbound.v6);
  EXPECT_EQ(lab_.dial("a", "10.77.0.4:80"), "refused");
  EXPECT_THAT(lab_.dial("a", "[fd77::4]:80"), StartsWith("outbound"));

  must(datapath.refill_listeners(ztunnels_["a"]->pid()));
  EXPECT_THAT(lab_.dial("a", "10.77.0.4:80"), StartsWith("outbound"));
}

TEST_F(Slots, ASuccessorHasTheSlotsBeforeItsPredecessorEnds) {
  auto datapath = lab_.load();
  enrol_all(datapath);
  const auto successor = lab_.ztunnel("a");
  must(datapath.refill_listeners(successor->pid(), bpf::Refill::kReplace));

  ztunnels_.erase("a");

  EXPECT_THAT(lab_.query(lab_.place("a"), "192.0.2.53:53"), StartsWith("dns"));
  EXPECT_THAT(lab_.query(lab_.place("a"), "[2001:db8::53]:53"), StartsWith("dns"));
  EXPECT_THAT(lab_.dial("a", "10.77.0.4:80"), StartsWith("outbound"));
}

TEST_F(Slots, ListenersOfACgroupThatIsNoLongerExemptDoNotCount) {
  auto datapath = lab_.load();
  must(datapath.set_exempt_cgroups({}));
  enrol_all(datapath);

  EXPECT_EQ(lab_.dial("a", "10.77.0.4:80"), "refused");
  EXPECT_EQ(lab_.dial(lab_.place("a", "ztunnel"), {.to = "10.77.0.4:80"}), "refused");
}

}  // namespace
}  // namespace culvert::bpf_test
