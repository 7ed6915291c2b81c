// Real sockets through the real programs: who gets a connection, and what both ends see.

#include <gmock/gmock.h>

#include "cni/redirect/redirect.h"
#include "tests/bpf/lab.h"
#include "tests/bpf/network.h"

namespace culvert::bpf_test {
namespace {

using testing::StartsWith;

// One lab for all: a and b are enrolled (a with DNS capture) and have a ztunnel; b and c serve at 80.
class Capture : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    lab = new Lab;
    datapath = new bpf::Datapath(lab->load());
    must(datapath->activate());
    for (const char* name : {"b", "c"}) apps.push_back(lab->serve(name, 80));
    apps.push_back(lab->serve("a", 8080));
    for (const char* name : {"a", "b"}) ztunnels[name] = lab->ztunnel(name, 2);
    lab->enrol(*datapath, "a", true);
    lab->enrol(*datapath, "b");
  }
  static void TearDownTestSuite() {
    ztunnels.clear();
    apps.clear();
    delete datapath;
    delete lab;
  }

  // How much a counter grew since the test began.
  std::uint64_t grown(std::string_view program, std::string_view exit) {
    const auto now = lab->count(*datapath, program, exit);
    for (const auto& counter : before_)
      if (counter.program == program && counter.exit == exit) return now - counter.value;
    return 0;
  }
  void SetUp() override { before_ = must(datapath->counters()); }

  static inline Lab* lab = nullptr;
  static inline bpf::Datapath* datapath = nullptr;
  static inline std::vector<std::unique_ptr<Process>> apps;
  static inline std::map<std::string, std::unique_ptr<Process>> ztunnels;

 private:
  std::vector<bpf::Counter> before_;
};

TEST_F(Capture, OutboundReachesZtunnelWithTheOriginalDestination) {
  EXPECT_THAT(lab->dial("a", "10.77.0.3:80"), StartsWith("outbound 10.77.0.3:80 from 10.77.0.2:"));
  EXPECT_THAT(lab->dial("a", "[fd77::3]:80"), StartsWith("outbound [fd77::3]:80 from [fd77::2]:"));
  EXPECT_THAT(lab->dial("a", "[::ffff:10.77.0.3]:80"), StartsWith("outbound 10.77.0.3:80 from 10.77.0.2:"));
  EXPECT_THAT(lab->dial("a", "192.0.2.1:443"), StartsWith("outbound 192.0.2.1:443 from 10.77.0.2:"));
  EXPECT_THAT(lab->dial("a", "[2001:db8::1]:443"), StartsWith("outbound [2001:db8::1]:443 from [fd77::2]:"));

  EXPECT_EQ(grown("connect", "captured"), 5);
  EXPECT_EQ(grown("lookup", "outbound"), 5);
}

TEST_F(Capture, OutboundIsCapturedHoweverItIsDialled) {
  const auto app = lab->place("a");

  EXPECT_THAT(lab->dial(app, {.to = "10.77.0.4:80", .device = "eth0"}), StartsWith("outbound 10.77.0.4:80"));
  EXPECT_THAT(lab->dial(app, {.to = "[fd77::4]:80", .device = "eth0"}), StartsWith("outbound [fd77::4]:80"));
  EXPECT_THAT(lab->dial(app, {.to = "[" + lab->pod("c").link_local + "%eth0]:80"}), StartsWith("outbound [fe80::"));
  EXPECT_THAT(lab->dial(app, {.to = "10.77.0.4:80", .bind = "10.77.0.2:0"}), StartsWith("outbound 10.77.0.4:80"));
  EXPECT_THAT(lab->dial(app, {.to = "10.77.0.4:80", .fast_open = true}), StartsWith("outbound 10.77.0.4:80"));
  EXPECT_THAT(lab->dial(app, {.to = "10.77.0.4:15008"}), StartsWith("outbound 10.77.0.4:15008"));
  const auto mptcp = lab->dial(app, {.to = "10.77.0.4:80", .mptcp = true});
  if (!mptcp.starts_with("error socket")) {
    EXPECT_THAT(mptcp, StartsWith("outbound 10.77.0.4:80"));
  }
}

TEST_F(Capture, ForgedMarksGainNothing) {
  for (const std::uint32_t mark : {0x715U, 0x716U, 0x717U, 0xfffU, 1U}) {
    EXPECT_THAT(lab->dial(lab->place("a"), {.to = "10.77.0.4:80", .mark = mark}), StartsWith("outbound 10.77.0.4:80")) << mark;
    EXPECT_THAT(lab->dial(lab->place("a"), {.to = "[fd77::4]:80", .mark = mark}), StartsWith("outbound [fd77::4]:80")) << mark;
    EXPECT_THAT(lab->dial(lab->place("c"), {.to = "10.77.0.3:80", .mark = mark}), StartsWith("inbound 10.77.0.3:80")) << mark;
  }
}

TEST_F(Capture, OwnAddressesAndLoopbackAreUntouched) {
  EXPECT_THAT(lab->dial("a", "127.0.0.1:8080"), StartsWith("app 127.0.0.1:8080 from 127.0.0.1:"));
  EXPECT_THAT(lab->dial("a", "127.8.9.1:8080"), StartsWith("app 127.8.9.1:8080"));
  EXPECT_THAT(lab->dial("a", "[::1]:8080"), StartsWith("app [::1]:8080 from [::1]:"));
  EXPECT_THAT(lab->dial("a", "[::ffff:127.0.0.1]:8080"), StartsWith("app 127.0.0.1:8080"));
  EXPECT_THAT(lab->dial("a", "0.0.0.0:8080"), StartsWith("app 127.0.0.1:8080"));
  EXPECT_THAT(lab->dial("a", "[::]:8080"), StartsWith("app [::1]:8080"));
  EXPECT_THAT(lab->dial("a", "10.77.0.2:8080"), StartsWith("app 10.77.0.2:8080 from 10.77.0.2:"));
  EXPECT_THAT(lab->dial("a", "[fd77::2]:8080"), StartsWith("app [fd77::2]:8080 from [fd77::2]:"));
  EXPECT_THAT(lab->dial("a", "[" + lab->pod("a").link_local + "%eth0]:8080"), StartsWith("app [fe80::"));
  EXPECT_THAT(lab->dial("b", "10.77.0.33:80"), StartsWith("app 10.77.0.33:80"));
  EXPECT_EQ(lab->dial("a", "127.0.0.1:9"), "refused");

  EXPECT_EQ(grown("connect", "own"), 11);
  EXPECT_EQ(grown("connect", "captured"), 0);
}

TEST_F(Capture, InboundPlaintextReachesZtunnelWhateverTheAddress) {
  EXPECT_THAT(lab->dial("c", "10.77.0.3:80"), StartsWith("inbound 10.77.0.3:80 from 10.77.0.4:"));
  EXPECT_THAT(lab->dial("c", "[fd77::3]:80"), StartsWith("inbound [fd77::3]:80 from [fd77::4]:"));
  EXPECT_THAT(lab->dial("c", "10.77.0.33:80"), StartsWith("inbound 10.77.0.33:80 from 10.77.0.4:"));
  EXPECT_THAT(lab->dial("c", "[" + lab->pod("b").link_local + "%eth0]:80"), StartsWith("inbound [fe80::"));
  EXPECT_THAT(lab->dial("node", "10.77.0.3:80"), StartsWith("inbound 10.77.0.3:80 from 10.77.0.1:"));
  EXPECT_THAT(lab->dial("c", "10.77.0.3:9"), StartsWith("inbound 10.77.0.3:9"));

  EXPECT_EQ(grown("lookup", "inbound"), 6);
}

TEST_F(Capture, TunnelsReachTheirOwnPort) {
  EXPECT_THAT(lab->dial("c", "10.77.0.3:15008"), StartsWith("hbone 10.77.0.3:15008 from 10.77.0.4:"));
  EXPECT_THAT(lab->dial("c", "[fd77::3]:15008"), StartsWith("hbone [fd77::3]:15008"));

  EXPECT_EQ(grown("lookup", "hbone"), 2);
}

TEST_F(Capture, ZtunnelsOwnListenersCannotBeDialledFromOutside) {
  EXPECT_THAT(lab->dial("c", "10.77.0.3:15001"), StartsWith("inbound 10.77.0.3:15001"));
  EXPECT_THAT(lab->dial("c", "10.77.0.3:15053"), StartsWith("inbound 10.77.0.3:15053"));
}

TEST_F(Capture, ZtunnelDialsTheApplicationAsTheClient) {
  const auto ztunnel = lab->place("b", "ztunnel");
  const DialOptions v4{.to = "10.77.0.3:80", .bind = "10.77.0.2:20001", .device = "lo", .mark = 0x717};
  const DialOptions v6{.to = "[fd77::3]:80", .bind = "[fd77::2]:20001", .device = "lo", .mark = 0x717};
  const DialOptions closed{.to = "10.77.0.3:81", .bind = "10.77.0.2:20002", .device = "lo", .mark = 0x717};
  const DialOptions closed_v6{.to = "[fd77::3]:81", .bind = "[fd77::2]:20002", .device = "lo", .mark = 0x717};

  EXPECT_EQ(lab->dial(ztunnel, v4), "app 10.77.0.3:80 from 10.77.0.2:20001");
  EXPECT_EQ(lab->dial(ztunnel, v6), "app [fd77::3]:80 from [fd77::2]:20001");
  EXPECT_EQ(lab->dial(ztunnel, closed), "refused");
  EXPECT_EQ(lab->dial(ztunnel, closed_v6), "refused");

  EXPECT_GE(grown("lookup", "in_pod"), 2);
}

TEST_F(Capture, OnlyZtunnelsCgroupIsExempt) {
  lab->cgroup("ztunnel/child/grandchild");

  EXPECT_THAT(lab->dial(lab->place("a", "ztunnel"), {.to = "10.77.0.4:80"}), StartsWith("app 10.77.0.4:80 from 10.77.0.2:"));
  EXPECT_THAT(lab->dial(lab->place("a", "ztunnel"), {.to = "[fd77::4]:80", .mark = 0x715}), StartsWith("app [fd77::4]:80"));
  EXPECT_THAT(lab->dial(lab->place("a", "ztunnel/child/grandchild"), {.to = "10.77.0.4:80"}), StartsWith("app 10.77.0.4:80"));
  EXPECT_THAT(lab->dial(lab->place("a", "kubelet"), {.to = "10.77.0.4:80"}), StartsWith("outbound 10.77.0.4:80"));
  EXPECT_THAT(lab->dial(lab->place("a", "app/ztunnel"), {.to = "10.77.0.4:80"}), StartsWith("outbound 10.77.0.4:80"));

  EXPECT_EQ(grown("connect", "exempt"), 3);
}

TEST_F(Capture, ExemptingTheRootCgroupIsRefused) {
  const std::uint64_t root[] = {1};

  EXPECT_FALSE(datapath->set_exempt_cgroups(root));
}

TEST_F(Capture, KubeletProbesPassAndOtherHostProcessesDoNot) {
  lab->cgroup("kubelet/child");

  EXPECT_THAT(lab->dial(lab->place("node", "kubelet"), {.to = "10.77.0.3:80"}), StartsWith("app 10.77.0.3:80 from 10.77.0.1:"));
  EXPECT_THAT(lab->dial(lab->place("node", "kubelet"), {.to = "[fd77::3]:80"}), StartsWith("app [fd77::3]:80 from [fd77::1]:"));
  EXPECT_THAT(lab->dial(lab->place("node", "kubelet"), {.to = "[::ffff:10.77.0.3]:80"}), StartsWith("app 10.77.0.3:80"));
  EXPECT_EQ(lab->dial(lab->place("node", "kubelet"), {.to = "10.77.0.3:81"}), "refused");
  EXPECT_EQ(grown("lookup", "probe"), 4);
  EXPECT_EQ(grown("sockops", "probe"), 4);
  EXPECT_EQ(grown("sockops", "probe_closed"), 4);
  EXPECT_THAT(lab->dial(lab->place("node", "kubelet"), {.to = "10.77.0.3:82"}), StartsWith("inbound 10.77.0.3:82"));
  EXPECT_EQ(grown("lookup", "not_probed"), 1) << "no probe of the pod's own names it";

  EXPECT_THAT(lab->dial(lab->place("node", "kubelet/child"), {.to = "10.77.0.3:80"}), StartsWith("inbound 10.77.0.3:80"));
  EXPECT_THAT(lab->dial(lab->place("node", "app"), {.to = "10.77.0.3:80"}), StartsWith("inbound 10.77.0.3:80"));
  EXPECT_THAT(lab->dial(lab->place("c", "kubelet"), {.to = "10.77.0.3:80"}), StartsWith("inbound 10.77.0.3:80"));
}

TEST_F(Capture, DnsGoesToItsSlotWhenCaptured) {
  EXPECT_THAT(lab->query(lab->place("a"), "192.0.2.53:53"), StartsWith("dns 192.0.2.53:53 from 10.77.0.2:"));
  EXPECT_THAT(lab->query(lab->place("a"), "[2001:db8::53]:53"), StartsWith("dns [2001:db8::53]:53 from [fd77::2]:"));
  EXPECT_THAT(lab->dial("a", "192.0.2.53:53"), StartsWith("dns 192.0.2.53:53 from 10.77.0.2:"));
  EXPECT_THAT(lab->dial("a", "[2001:db8::53]:53"), StartsWith("dns [2001:db8::53]:53"));
  EXPECT_THAT(lab->dial("b", "192.0.2.53:53"), StartsWith("outbound 192.0.2.53:53"));

  EXPECT_EQ(grown("lookup", "dns_udp"), 2);
  EXPECT_EQ(grown("lookup", "dns_tcp"), 2);
}

TEST_F(Capture, AResolverOnAnOwnAddressIsUntouched) {
  const auto resolver = lab->serve("a", 53);

  EXPECT_THAT(lab->dial("a", "127.0.0.1:53"), StartsWith("app 127.0.0.1:53"));
  EXPECT_EQ(lab->query(lab->place("a"), "127.0.0.1:53"), "refused");  // nobody listens on UDP there, and nobody else was asked
  EXPECT_EQ(lab->query(lab->place("a"), "10.77.0.2:53"), "refused");
}

TEST_F(Capture, APodOutsideTheMeshIsUntouched) {
  EXPECT_THAT(lab->dial("c", "10.77.0.2:8080"), StartsWith("inbound 10.77.0.2:8080 from 10.77.0.4:"));
  EXPECT_THAT(lab->dial("c", "10.77.0.4:80"), StartsWith("app 10.77.0.4:80"));
  EXPECT_THAT(lab->dial("node", "10.77.0.4:80"), StartsWith("app 10.77.0.4:80 from 10.77.0.1:"));

  EXPECT_GE(grown("connect", "outside"), 3);
}

TEST_F(Capture, ANewOwnAddressIsOwnOnceTheAgentSaysSo) {
  auto& a = lab->pod("a");
  add_address(a.netns.get(), "eth0", "10.77.0.22", 24);
  must(datapath->set_own_addresses(a.cookie, must(redirect::own_addresses(a.netns.get()))));

  EXPECT_THAT(lab->dial("a", "10.77.0.22:8080"), StartsWith("app 10.77.0.22:8080"));
  EXPECT_THAT(lab->dial("c", "10.77.0.22:8080"), StartsWith("inbound 10.77.0.22:8080"));

  remove_address(a.netns.get(), "eth0", "10.77.0.22", 24);
  must(datapath->set_own_addresses(a.cookie, must(redirect::own_addresses(a.netns.get()))));
  EXPECT_THAT(lab->dial("a", "10.77.0.22:8080"), StartsWith("outbound 10.77.0.22:8080"));
}

TEST_F(Capture, WhatComesOverLoFromAnUnknownAddressIsNobodys) {
  auto& a = lab->pod("a");
  add_address(a.netns.get(), "eth0", "10.77.0.55", 24);  // and the agent does not know yet

  EXPECT_EQ(lab->dial(lab->place("a"), {.to = "10.77.0.4:8080", .bind = "10.77.0.55:0"}), "timeout");

  EXPECT_GE(grown("lookup", "stray"), 1);
  remove_address(a.netns.get(), "eth0", "10.77.0.55", 24);
}

TEST_F(Capture, WithoutZtunnelEverythingIsRefusedAndNothingLeaks) {
  ztunnels.clear();

  EXPECT_EQ(lab->dial("a", "10.77.0.4:80"), "refused");
  EXPECT_EQ(lab->dial("a", "[fd77::4]:80"), "refused");
  EXPECT_EQ(lab->dial("a", "[::ffff:10.77.0.4]:80"), "refused");
  EXPECT_EQ(lab->dial("a", "192.0.2.53:53"), "refused");
  EXPECT_EQ(grown("connect", "refused"), 4);
  EXPECT_EQ(lab->dial("c", "10.77.0.3:80"), "refused");
  EXPECT_EQ(lab->dial("c", "[fd77::3]:80"), "refused");
  EXPECT_EQ(grown("lookup", "no_listener"), 2);
  EXPECT_THAT(lab->dial("a", "127.0.0.1:8080"), StartsWith("app"));
  EXPECT_THAT(lab->dial(lab->place("node", "kubelet"), {.to = "10.77.0.3:80"}), StartsWith("app"));

  for (const char* name : {"a", "b"}) ztunnels[name] = lab->ztunnel(name, 2);  // sockops alone fills the TCP slots
  EXPECT_THAT(lab->dial("a", "10.77.0.4:80"), StartsWith("outbound 10.77.0.4:80"));
  EXPECT_THAT(lab->dial("c", "[fd77::3]:80"), StartsWith("inbound [fd77::3]:80"));
  must(datapath->refill_listeners(ztunnels["a"]->pid()));
  EXPECT_THAT(lab->query(lab->place("a"), "192.0.2.53:53"), StartsWith("dns 192.0.2.53:53"));
}

TEST_F(Capture, AnApplicationThatListensOnZtunnelsPortsIsNoListener) {
  ztunnels.erase("b");
  const auto pretender = lab->serve("b", 15006);
  must(datapath->refill_listeners());

  EXPECT_EQ(lab->dial("c", "10.77.0.3:80"), "refused");

  ztunnels["b"].reset();
}

}  // namespace
}  // namespace culvert::bpf_test
