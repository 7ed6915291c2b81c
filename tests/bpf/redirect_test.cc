// cni/redirect in a real namespace: idempotent, repairs, leaves nothing.

#include "cni/redirect/redirect.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <unistd.h>

#include "cni/redirect/address_watch.h"
#include "cni/redirect/netlink.h"
#include "cni/redirect/netns.h"
#include "cni/redirect/rules.h"
#include "common/base/format.h"
#include "tests/bpf/lab.h"
#include "tests/bpf/network.h"

namespace culvert::bpf_test {
namespace {

using redirect::Message;
using redirect::Netlink;

class Redirect : public testing::Test {
 protected:
  void SetUp() override {
    add_bridge(outer_.get(), "br0");
    add_veth(outer_.get(), "to-pod", "br0", pod_.get(), "eth0");
    add_address(pod_.get(), "eth0", "10.77.1.2", 24);
  }

  // Rules by priority ("4:100"), and table 100's routes ("4 dev 1 src 10.77.1.2").
  std::multiset<std::string> seen() {
    std::multiset<std::string> out;
    must(redirect::in_netns(pod_.get(), [&]() -> Status {
      auto netlink = must(Netlink::open(NETLINK_ROUTE));
      for (const int family : {AF_INET, AF_INET6}) {
        const char* name = family == AF_INET ? "4" : "6";
        Message rules(RTM_GETRULE, 0);
        rules.header(fib_rule_hdr{.family = static_cast<__u8>(family),
                                  .dst_len = 0,
                                  .src_len = 0,
                                  .tos = 0,
                                  .table = 0,
                                  .res1 = 0,
                                  .res2 = 0,
                                  .action = 0,
                                  .flags = 0});
        must(netlink.dump(rules, [&](const nlmsghdr* answer) {
          const auto* priority = redirect::find_attribute(answer, sizeof(fib_rule_hdr), FRA_PRIORITY);
          const auto value = priority == nullptr ? 0 : mnl_attr_get_u32(priority);
          if (value > 0 && value < 1000) out.insert(culvert::format("{}:{}", name, value));
        }));
        Message routes(RTM_GETROUTE, 0);
        rtmsg header{};
        header.rtm_family = static_cast<unsigned char>(family);
        routes.header(header);
        must(netlink.dump(routes, [&](const nlmsghdr* answer) {
          const auto at = [&](int attribute) { return redirect::find_attribute(answer, sizeof(rtmsg), attribute); };
          if (at(RTA_TABLE) == nullptr || mnl_attr_get_u32(at(RTA_TABLE)) != 100) return;
          out.insert(culvert::format("{} dev {} src {}", name, mnl_attr_get_u32(at(RTA_OIF)),
                                     redirect::address_of(at(RTA_PREFSRC)).text()));
        }));
      }
      return {};
    }));
    return out;
  }

  std::string sysctl(const std::string& name) {
    std::string value(1, '?');
    must(redirect::in_netns(pod_.get(), [&]() -> Status {
      const Fd file(::open(("/proc/sys/net/" + name).c_str(), O_RDONLY | O_CLOEXEC));
      if (::read(file.get(), value.data(), 1) != 1) return failure_errno("reading " + name);
      return {};
    }));
    return value;
  }

  redirect::PodAddresses addresses() { return must(redirect::primary_addresses(pod_.get())); }

  Fd outer_ = new_netns(), pod_ = new_netns();
};

const std::multiset<std::string> kV4Only{"4:100", "4:102", "6:100", "6:102", "4 dev 1 src 10.77.1.2", "4 dev 2 src 10.77.1.2"};

TEST_F(Redirect, PreparesTheNamespaceAndMayBeRepeated) {
  must(redirect::prepare(pod_.get(), addresses()));
  must(redirect::prepare(pod_.get(), addresses()));

  EXPECT_EQ(seen(), kV4Only);
  EXPECT_EQ(sysctl("ipv4/tcp_fwmark_accept"), "1");
  EXPECT_EQ(sysctl("ipv4/fwmark_reflect"), "1");
  EXPECT_EQ(sysctl("ipv6/fwmark_reflect"), "1");
  EXPECT_EQ(sysctl("ipv4/tcp_migrate_req"), "1");
}

TEST_F(Redirect, FollowsTheAddressesOfThePod) {
  must(redirect::prepare(pod_.get(), addresses()));
  add_address(pod_.get(), "eth0", "fd77:1::2", 64);
  remove_address(pod_.get(), "eth0", "10.77.1.2", 24);
  add_address(pod_.get(), "eth0", "10.77.1.5", 24);

  must(redirect::prepare(pod_.get(), addresses()));

  EXPECT_EQ(seen(), (std::multiset<std::string>{"4:100", "4:102", "6:100", "6:102", "4 dev 1 src 10.77.1.5",
                                                "4 dev 2 src 10.77.1.5", "6 dev 1 src fd77:1::2", "6 dev 2 src fd77:1::2"}));
}

TEST_F(Redirect, RepairsWhatWasLeftHalfDone) {
  must(redirect::in_netns(pod_.get(), []() -> Status {
    auto netlink = must(Netlink::open(NETLINK_ROUTE));
    return redirect::add_capture_rules(netlink, AF_INET);
  }));

  must(redirect::prepare(pod_.get(), addresses()));

  EXPECT_EQ(seen(), kV4Only);
}

TEST_F(Redirect, TurnsDnsAroundAndBack) {
  must(redirect::prepare(pod_.get(), addresses()));
  must(redirect::capture_dns(pod_.get(), true));
  must(redirect::capture_dns(pod_.get(), true));

  auto with_dns = kV4Only;
  for (const char* rule : {"4:99", "4:101", "6:99", "6:101"}) with_dns.insert(rule);
  EXPECT_EQ(seen(), with_dns);

  must(redirect::capture_dns(pod_.get(), false));
  EXPECT_EQ(seen(), kV4Only);
}

TEST_F(Redirect, RestoresTheNamespaceAndMayBeRepeated) {
  must(redirect::prepare(pod_.get(), addresses()));
  must(redirect::capture_dns(pod_.get(), true));

  must(redirect::restore(pod_.get(), {}));
  must(redirect::restore(pod_.get(), {}));

  EXPECT_EQ(seen(), (std::multiset<std::string>{}));
  EXPECT_EQ(sysctl("ipv4/tcp_fwmark_accept"), "0");
  EXPECT_EQ(sysctl("ipv6/fwmark_reflect"), "0");
  EXPECT_EQ(sysctl("ipv4/tcp_migrate_req"), "0");
}

TEST_F(Redirect, RestoresTheSysctlsThatWereThereBefore) {
  set_sysctl(pod_.get(), "ipv4/tcp_fwmark_accept", "1");
  set_sysctl(pod_.get(), "ipv6/fwmark_reflect", "7");
  const auto before = must(redirect::sysctls(pod_.get()));
  must(redirect::prepare(pod_.get(), addresses()));
  EXPECT_EQ(sysctl("ipv4/fwmark_reflect"), "1");
  EXPECT_EQ(sysctl("ipv6/fwmark_reflect"), "1");

  must(redirect::restore(pod_.get(), before));

  EXPECT_EQ(sysctl("ipv4/tcp_fwmark_accept"), "1");
  EXPECT_EQ(sysctl("ipv4/fwmark_reflect"), "0");
  EXPECT_EQ(sysctl("ipv6/fwmark_reflect"), "7");
}

TEST_F(Redirect, SaysWhatIsWrongWithAnAddressThatThePodLacks) {
  const auto done = redirect::prepare(pod_.get(), {.v4 = must(IpAddress::parse("192.0.2.7")), .v6 = {}});

  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().text, testing::HasSubstr("192.0.2.7"));
}

// A new IPv6 address is told once more when the kernel has settled it, a moment later.
void wait_until_quiet(redirect::AddressWatch& watch) {
  for (pollfd poll{.fd = watch.fd(), .events = POLLIN, .revents = 0}; ::poll(&poll, 1, 300) == 1;) must(watch.changed());
}

TEST_F(Redirect, KnowsEveryAddressAndTellsWhenTheyChange) {
  auto watch = must(redirect::AddressWatch::open(pod_.get()));
  wait_until_quiet(watch);
  EXPECT_FALSE(must(watch.changed()));
  const auto before = must(redirect::own_addresses(pod_.get()));
  EXPECT_EQ(before.size(), 2U);  // 10.77.1.2 and the link-local one

  add_address(pod_.get(), "eth0", "10.77.1.99", 24);
  pollfd poll{.fd = watch.fd(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&poll, 1, 1000), 1);
  EXPECT_TRUE(must(watch.changed()));
  EXPECT_FALSE(must(watch.changed()));

  const auto after = must(redirect::own_addresses(pod_.get()));
  EXPECT_THAT(after, testing::Contains(must(IpAddress::parse("10.77.1.99"))));
  EXPECT_EQ(must(redirect::primary_addresses(pod_.get())).v4, IpAddress::parse("10.77.1.2").value());
}

TEST_F(Redirect, TellsWhenSomebodyTakesItsRulesAway) {
  add_address(pod_.get(), "eth0", "fd77:1::2", 64);
  auto watch = must(redirect::AddressWatch::open(pod_.get()));
  wait_until_quiet(watch);
  must(redirect::prepare(pod_.get(), addresses()));
  must(redirect::prepare(pod_.get(), addresses()));
  EXPECT_FALSE(must(watch.changed()));  // what we do ourselves is no news

  must(redirect::in_netns(pod_.get(), []() -> Status {
    auto netlink = must(Netlink::open(NETLINK_ROUTE));
    return redirect::remove_capture_rules(netlink, AF_INET6);
  }));

  EXPECT_TRUE(must(watch.changed()));
}

TEST_F(Redirect, CountsSocketsThatStillCarryOurMarks) {
  EXPECT_EQ(must(redirect::marked_sockets(pod_.get())).open, 0U);

  const auto held = [&](std::uint32_t mark) {
    return std::make_unique<Process>(
        Place{.netns = pod_.get(), .cgroup = {}}, [mark](int report) { hold_connection(mark, report); }, true);
  };
  const auto one = held(0x716), two = held(0x717), other = held(0x715);

  EXPECT_EQ(must(redirect::marked_sockets(pod_.get())).open, 2U);
  EXPECT_EQ(must(redirect::marked_sockets(pod_.get())).connecting, 0U);
}

}  // namespace
}  // namespace culvert::bpf_test
