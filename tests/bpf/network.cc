#include "tests/bpf/network.h"

#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <unistd.h>

#include <stdexcept>
#include <thread>

#include "cni/redirect/netlink.h"
#include "cni/redirect/netns.h"
#include "tests/bpf/lab.h"

namespace culvert::bpf_test {
namespace {

using redirect::Message;
using redirect::Netlink;

void in(int netns, const std::function<void(Netlink&)>& work) {
  must(redirect::in_netns(netns, [&]() -> Status {
    try {
      auto netlink = must(Netlink::open(NETLINK_ROUTE));
      work(netlink);
    } catch (const std::exception& error) {
      return failure(error.what());
    }
    return {};
  }));
}

void apply(Netlink& netlink, Message& message, const std::string& what) {
  const int error = must(netlink.request(message));
  if (error != 0) throw std::runtime_error(what + ": " + errno_text(error));
}

ifinfomsg link_header(unsigned index, bool up) {
  ifinfomsg header{};
  header.ifi_index = static_cast<int>(index);
  header.ifi_flags = up ? IFF_UP : 0;
  header.ifi_change = up ? IFF_UP : 0;
  return header;
}

void set_up(Netlink& netlink, const std::string& name, const char* bridge = nullptr) {
  Message message(RTM_NEWLINK, 0);
  message.header(link_header(if_nametoindex(name.c_str()), true));
  if (bridge != nullptr) message.add(IFLA_MASTER, if_nametoindex(bridge));
  apply(netlink, message, "link up " + name);
}

Message& address_message(Message& message, const char* device, const std::string& text, int prefix) {
  const auto address = must(IpAddress::parse(text));
  ifaddrmsg header{};
  header.ifa_family = address.is_v4() ? AF_INET : AF_INET6;
  header.ifa_prefixlen = static_cast<__u8>(prefix);
  header.ifa_flags = IFA_F_NODAD;
  header.ifa_index = if_nametoindex(device);
  message.header(header);
  message.add(IFA_LOCAL, address.bytes().data(), address.bytes().size());
  message.add(IFA_ADDRESS, address.bytes().data(), address.bytes().size());
  return message;
}

}  // namespace

Fd new_netns() {
  Fd netns;
  std::thread([&] {
    if (::unshare(CLONE_NEWNET) == 0) netns.reset(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  }).join();
  if (!netns) throw std::runtime_error("making a network namespace failed (is this root?)");
  for (const char* scope : {"all", "default"}) set_sysctl(netns.get(), std::string("ipv6/conf/") + scope + "/accept_dad", "0");
  in(netns.get(), [](Netlink& netlink) { set_up(netlink, "lo"); });
  return netns;
}

void add_bridge(int netns, const char* name) {
  in(netns, [&](Netlink& netlink) {
    Message message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
    message.header(link_header(0, true));
    message.add(IFLA_IFNAME, name);
    auto* info = mnl_attr_nest_start(message.get(), IFLA_LINKINFO);
    message.add(IFLA_INFO_KIND, "bridge");
    mnl_attr_nest_end(message.get(), info);
    apply(netlink, message, "adding a bridge");
  });
}

void add_veth(int outer_netns, const std::string& outer, const char* bridge, int inner_netns, const char* inner) {
  in(outer_netns, [&](Netlink& netlink) {
    Message message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
    message.header(ifinfomsg{});
    message.add(IFLA_IFNAME, outer.c_str());
    auto* info = mnl_attr_nest_start(message.get(), IFLA_LINKINFO);
    message.add(IFLA_INFO_KIND, "veth");
    auto* data = mnl_attr_nest_start(message.get(), IFLA_INFO_DATA);
    auto* peer = mnl_attr_nest_start(message.get(), VETH_INFO_PEER);
    mnl_nlmsg_put_extra_header(message.get(), sizeof(ifinfomsg));
    message.add(IFLA_IFNAME, inner);
    message.add(IFLA_NET_NS_FD, static_cast<std::uint32_t>(inner_netns));
    mnl_attr_nest_end(message.get(), peer);
    mnl_attr_nest_end(message.get(), data);
    mnl_attr_nest_end(message.get(), info);
    apply(netlink, message, "adding veth " + outer);
    set_up(netlink, outer, bridge);
  });
  in(inner_netns, [&](Netlink& netlink) { set_up(netlink, inner); });
}

void add_address(int netns, const char* device, const std::string& address, int prefix) {
  in(netns, [&](Netlink& netlink) {
    Message message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
    apply(netlink, address_message(message, device, address, prefix), "adding address " + address);
  });
}

void remove_address(int netns, const char* device, const std::string& address, int prefix) {
  in(netns, [&](Netlink& netlink) {
    Message message(RTM_DELADDR, 0);
    apply(netlink, address_message(message, device, address, prefix), "removing address " + address);
  });
}

void add_default_route(int netns, const std::string& via) {
  in(netns, [&](Netlink& netlink) {
    const auto gateway = must(IpAddress::parse(via));
    Message message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL);
    rtmsg header{};
    header.rtm_family = gateway.is_v4() ? AF_INET : AF_INET6;
    header.rtm_table = RT_TABLE_MAIN;
    header.rtm_protocol = RTPROT_BOOT;
    header.rtm_type = RTN_UNICAST;
    message.header(header);
    message.add(RTA_GATEWAY, gateway.bytes().data(), gateway.bytes().size());
    apply(netlink, message, "adding default route via " + via);
  });
}

void set_sysctl(int netns, const std::string& name, const char* value) {
  must(redirect::in_netns(netns, [&]() -> Status {
    const Fd file(::open(("/proc/sys/net/" + name).c_str(), O_WRONLY | O_CLOEXEC));
    if (!file || ::write(file.get(), value, std::char_traits<char>::length(value)) < 0)
      return failure_errno("setting sysctl " + name);
    return {};
  }));
}

}  // namespace culvert::bpf_test
