// The rules of sk_lookup one by one, by BPF_PROG_TEST_RUN (datapath.md §1.3). Those that ask for lo (DNS over UDP, ztunnel's way to
// the application) are in capture_test.cc, with real sockets.

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gmock/gmock.h>
#include <sys/socket.h>

#include <algorithm>
#include <numeric>

#include "bpf/include/culvert_abi.h"
#include "common/base/check.h"
#include "culvert_lookup_bpf.skel.h"
#include "tests/bpf/lab.h"
#include "tests/bpf/packet.h"

namespace culvert::bpf_test {
namespace {

constexpr __u64 kPod = 4711;  // any number: the test run looks at no namespace

struct Case {
  const char* what;
  Packet packet;
  culvert_counter counter;
  int verdict = SK_PASS;
  std::uint16_t slot = 0;  // whose socket is assigned; 0: nobody's
};

class Lookup : public testing::TestWithParam<bool> {  // the parameter: is DNS captured
 protected:
  void SetUp() override {
    lookup_ = culvert_lookup_bpf::open();
    ASSERT_NE(lookup_, nullptr);
    lookup_->rodata->netns_cookie = kPod;
    lookup_->rodata->dns_capture = GetParam();
    ASSERT_EQ(culvert_lookup_bpf::load(lookup_), 0);
    for (const char* address : {"10.0.0.2", "10.0.0.22", "fd00::2", "fe80::2"}) add_own(address);
  }
  void TearDown() override { culvert_lookup_bpf::destroy(lookup_); }

  void add_own(const char* text) {
    const auto address = must(IpAddress::parse(text));
    culvert_own_key key{};
    key.netns_cookie = kPod;
    key.family = address.is_v4() ? AF_INET : AF_INET6;
    std::ranges::copy(address.bytes(), key.address.bytes);
    const culvert_present present{.present = 1};
    ASSERT_EQ(bpf_map_update_elem(bpf_map__fd(lookup_->maps.own_addresses), &key, &present, BPF_ANY), 0);
  }

  // A socket in a slot, a dual-stack one in those of both families; returns its cookie.
  __u64 add_listener(std::uint16_t port, int family, int type, bool dual_stack = false) {
    const int v6_only = dual_stack ? 0 : 1;
    Fd socket(::socket(family, type, 0));
    CULVERT_CHECK(socket.get() >= 0);
    if (family == AF_INET6) ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof(v6_only));
    sockaddr_storage any{};
    any.ss_family = static_cast<sa_family_t>(family);
    EXPECT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&any),
                     family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6)),
              0);
    EXPECT_EQ(type == SOCK_STREAM ? ::listen(socket.get(), 1) : 0, 0);
    culvert_listener_key key{};
    key.netns_cookie = kPod;
    key.port = htons(port);
    key.family = static_cast<__u8>(family);
    key.protocol = type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP;
    const __u64 value = static_cast<__u64>(socket.get());
    EXPECT_EQ(bpf_map_update_elem(bpf_map__fd(lookup_->maps.listeners), &key, &value, BPF_ANY), 0) << errno_text(errno);
    key.family = AF_INET;
    if (dual_stack) {
      EXPECT_EQ(bpf_map_update_elem(bpf_map__fd(lookup_->maps.listeners), &key, &value, BPF_ANY), 0);
    }
    __u64 cookie = 0;
    socklen_t size = sizeof(cookie);
    ::getsockopt(socket.get(), SOL_SOCKET, SO_COOKIE, &cookie, &size);
    sockets_.push_back(std::move(socket));
    return cookie;
  }

  void add_probe(const Packet& packet) {
    const auto source = must(IpAddress::parse(packet.source)), destination = must(IpAddress::parse(packet.destination));
    culvert_flow_key key{};
    std::ranges::copy(source.bytes(), key.source.bytes);
    std::ranges::copy(destination.bytes(), key.destination.bytes);
    key.source_port = htons(packet.source_port);
    key.destination_port = htons(packet.port);
    key.family = source.is_v4() ? AF_INET : AF_INET6;
    const culvert_present present{.present = 1};
    ASSERT_EQ(bpf_map_update_elem(bpf_map__fd(lookup_->maps.probes), &key, &present, BPF_ANY), 0);
  }

  void add_kubelets_flows() {
    for (const std::uint16_t port : {80, 81, 15008})
      add_probe({.source = "10.0.0.1", .destination = "10.0.0.2", .port = port, .source_port = 50000});
    for (const std::uint16_t port : {80, 81})
      add_probe({.source = "fd00::1", .destination = "fd00::2", .port = port, .source_port = 50000});
  }

  void name_probe_port(std::uint16_t port) {
    culvert_probe_port_key key{};
    key.netns_cookie = kPod;
    key.port = htons(port);
    const culvert_present present{.present = 1};
    ASSERT_EQ(bpf_map_update_elem(bpf_map__fd(lookup_->maps.probe_ports), &key, &present, BPF_ANY), 0);
  }

  std::pair<int, __u64> run(const Packet& packet) { return run_lookup(bpf_program__fd(lookup_->progs.culvert_lookup), packet); }

  __u64 counted(culvert_counter counter) {
    std::vector<__u64> values(static_cast<std::size_t>(libbpf_num_possible_cpus()));
    const __u32 index = counter;
    bpf_map_lookup_elem(bpf_map__fd(lookup_->maps.counters), &index, values.data());
    return std::accumulate(values.begin(), values.end(), __u64{0});
  }

  void expect(const Case& it, const std::map<std::pair<std::uint16_t, int>, __u64>& listeners) {
    const auto before = counted(it.counter);
    const auto [verdict, cookie] = run(it.packet);
    const int family = std::string_view(it.packet.source).contains('.') ? AF_INET : AF_INET6;
    const auto key = std::pair<std::uint16_t, int>(it.slot + (it.packet.protocol == IPPROTO_UDP ? 1 : 0), family);

    EXPECT_EQ(verdict, it.verdict) << it.what;
    EXPECT_EQ(cookie, it.slot == 0 ? 0 : listeners.at(key)) << it.what;
    EXPECT_EQ(counted(it.counter), before + 1) << it.what;
  }

  culvert_lookup_bpf* lookup_ = nullptr;
  std::vector<Fd> sockets_;
};

constexpr int kUdp = IPPROTO_UDP;

std::vector<Case> steering(bool dns) {
  const auto dns_tcp = dns ? CULVERT_LOOKUP_DNS_TCP : CULVERT_LOOKUP_OUTBOUND;
  const std::uint16_t dns_slot = dns ? 15053 : 15001;
  return {
      {"loopback", {.source = "127.0.0.1", .destination = "127.0.0.1"}, CULVERT_LOOKUP_LOCAL},
      {"loopback from outside", {.source = "10.0.0.9", .destination = "127.0.0.1"}, CULVERT_LOOKUP_LOCAL},
      {"v6 loopback", {.source = "::1", .destination = "::1"}, CULVERT_LOOKUP_LOCAL},
      {"own to own", {.source = "10.0.0.2", .destination = "10.0.0.22"}, CULVERT_LOOKUP_LOCAL},
      {"own to own v6", {.source = "fd00::2", .destination = "fe80::2"}, CULVERT_LOOKUP_LOCAL},
      {"own to itself", {.source = "10.0.0.2", .destination = "10.0.0.2", .port = 15006}, CULVERT_LOOKUP_LOCAL},
      {"UDP from outside", {.protocol = kUdp, .source = "10.0.0.9", .destination = "10.0.0.2", .port = 53}, CULVERT_LOOKUP_UDP},
      {"DNS over TCP", {.source = "10.0.0.2", .destination = "10.0.0.9", .port = 53}, dns_tcp, SK_PASS, dns_slot},
      {"outbound", {.source = "10.0.0.2", .destination = "10.0.0.9"}, CULVERT_LOOKUP_OUTBOUND, SK_PASS, 15001},
      {"outbound v6", {.source = "fd00::2", .destination = "fd00::9"}, CULVERT_LOOKUP_OUTBOUND, SK_PASS, 15001},
      {"outbound on eth0", {.source = "10.0.0.22", .destination = "10.0.0.9"}, CULVERT_LOOKUP_OUTBOUND, SK_PASS, 15001},
      {"outbound to 15008",
       {.source = "10.0.0.2", .destination = "10.0.0.9", .port = 15008},
       CULVERT_LOOKUP_OUTBOUND,
       SK_PASS,
       15001},
      {"registered probe", {.source = "10.0.0.1", .destination = "10.0.0.2", .source_port = 50000}, CULVERT_LOOKUP_PROBE},
      {"registered probe v6", {.source = "fd00::1", .destination = "fd00::2", .source_port = 50000}, CULVERT_LOOKUP_PROBE},
      {"the kubelet's, of another pod's probe",
       {.source = "10.0.0.1", .destination = "10.0.0.2", .port = 81, .source_port = 50000},
       CULVERT_LOOKUP_NOT_PROBED,
       SK_PASS,
       15006},
      {"the kubelet's, of another pod's probe, v6",
       {.source = "fd00::1", .destination = "fd00::2", .port = 81, .source_port = 50000},
       CULVERT_LOOKUP_NOT_PROBED,
       SK_PASS,
       15006},
      {"the kubelet's, to 15008",
       {.source = "10.0.0.1", .destination = "10.0.0.2", .port = 15008, .source_port = 50000},
       CULVERT_LOOKUP_HBONE},
      {"the probe's neighbour",
       {.source = "10.0.0.1", .destination = "10.0.0.2", .source_port = 50001},
       CULVERT_LOOKUP_INBOUND,
       SK_PASS,
       15006},
      {"tunnel", {.source = "10.0.0.9", .destination = "10.0.0.2", .port = 15008}, CULVERT_LOOKUP_HBONE},
      {"tunnel v6", {.source = "fd00::9", .destination = "fd00::2", .port = 15008}, CULVERT_LOOKUP_HBONE},
      {"inbound", {.source = "10.0.0.9", .destination = "10.0.0.2"}, CULVERT_LOOKUP_INBOUND, SK_PASS, 15006},
      {"inbound v6", {.source = "fd00::9", .destination = "fd00::2"}, CULVERT_LOOKUP_INBOUND, SK_PASS, 15006},
      {"inbound to the second address",
       {.source = "10.0.0.9", .destination = "10.0.0.22"},
       CULVERT_LOOKUP_INBOUND,
       SK_PASS,
       15006},
      {"inbound to the link-local address",
       {.source = "fe80::9", .destination = "fe80::2"},
       CULVERT_LOOKUP_INBOUND,
       SK_PASS,
       15006},
      {"inbound to an address not known yet",
       {.source = "10.0.0.9", .destination = "10.0.0.77"},
       CULVERT_LOOKUP_INBOUND,
       SK_PASS,
       15006},
      {"inbound to port 53",
       {.source = "10.0.0.9", .destination = "10.0.0.2", .port = 53},
       CULVERT_LOOKUP_INBOUND,
       SK_PASS,
       15006},
  };
}

TEST_P(Lookup, SteersByTheRulesInTheirOrder) {
  std::map<std::pair<std::uint16_t, int>, __u64> listeners;  // UDP under port + 1
  for (const int family : {AF_INET, AF_INET6}) {
    for (const std::uint16_t port : {15001, 15006, 15053}) listeners[{port, family}] = add_listener(port, family, SOCK_STREAM);
    listeners[{15054, family}] = add_listener(15053, family, SOCK_DGRAM);
  }
  add_kubelets_flows();
  name_probe_port(80);

  for (const auto& it : steering(GetParam())) expect(it, listeners);
}

TEST_P(Lookup, DropsWhatItWouldSteerWhenTheSlotIsEmpty) {
  add_kubelets_flows();
  for (auto it : steering(GetParam())) {
    if (it.slot == 0 || std::string_view(it.what) == "the probe's neighbour") continue;
    it.slot = 0;
    it.verdict = SK_DROP;
    it.counter = CULVERT_LOOKUP_NO_LISTENER;
    expect(it, {});
  }
}

TEST_P(Lookup, KnowsThePortsOfThePodsOwnProbesAlone) {
  add_kubelets_flows();
  const auto inbound = add_listener(15006, AF_INET, SOCK_STREAM);
  const Packet probe{.source = "10.0.0.1", .destination = "10.0.0.2", .source_port = 50000};
  EXPECT_EQ(run(probe), std::pair(static_cast<int>(SK_PASS), inbound));

  culvert_probe_port_key key{};
  key.netns_cookie = kPod + 1;
  key.port = htons(80);
  const culvert_present present{.present = 1};
  ASSERT_EQ(bpf_map_update_elem(bpf_map__fd(lookup_->maps.probe_ports), &key, &present, BPF_ANY), 0);
  EXPECT_EQ(run(probe), std::pair(static_cast<int>(SK_PASS), inbound)) << "another pod's";

  name_probe_port(80);
  EXPECT_EQ(run(probe), std::pair(static_cast<int>(SK_PASS), __u64{0}));
}

TEST_P(Lookup, GivesIPv4ToADualStackListener) {
  const auto cookie = add_listener(15006, AF_INET6, SOCK_STREAM, true);

  EXPECT_EQ(run({.source = "10.0.0.9", .destination = "10.0.0.2"}), std::pair(static_cast<int>(SK_PASS), cookie));
  EXPECT_EQ(run({.source = "fd00::9", .destination = "fd00::2"}), std::pair(static_cast<int>(SK_PASS), cookie));
}

TEST_P(Lookup, DropsIPv4WhenTheOnlyListenerTakesIPv6Alone) {
  const auto cookie = add_listener(15006, AF_INET6, SOCK_STREAM);

  EXPECT_EQ(run({.source = "10.0.0.9", .destination = "10.0.0.2"}), std::pair(static_cast<int>(SK_DROP), __u64{0}));
  EXPECT_EQ(counted(CULVERT_LOOKUP_NO_LISTENER), 1U);
  EXPECT_EQ(run({.source = "fd00::9", .destination = "fd00::2"}), std::pair(static_cast<int>(SK_PASS), cookie));
}

INSTANTIATE_TEST_SUITE_P(Dns, Lookup, testing::Bool());

}  // namespace
}  // namespace culvert::bpf_test
