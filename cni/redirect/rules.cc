#include "cni/redirect/rules.h"

#include <linux/fib_rules.h>
#include <linux/if.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "bpf/include/culvert_abi.h"
#include "common/base/format.h"

namespace culvert::redirect {
namespace {

constexpr std::uint32_t kTable = 100;
constexpr std::uint32_t kLoopback = 1;  // lo is the first interface of every namespace
constexpr std::uint32_t kDnsPort = 53;
constexpr std::uint32_t kFirstMetric = 1, kInterfaceMetric = 10;

struct Rule {
  std::uint32_t priority;
  std::uint8_t action;
  std::uint32_t table = 0;
  std::uint32_t mark = 0, mask = 0;  // none when the mask is 0
  bool local_dns = false;            // UDP to port 53 from this namespace
};
constexpr Rule kCaptureRules[] = {
    {.priority = 100, .action = FR_ACT_TO_TBL, .table = kTable, .mark = CULVERT_MARK_CAPTURED, .mask = CULVERT_MARK_MASK},
    {.priority = 102, .action = FR_ACT_UNREACHABLE, .mark = CULVERT_MARK_CAPTURED, .mask = CULVERT_MARK_MASK}};
constexpr Rule kDnsRules[] = {
    {.priority = 99, .action = FR_ACT_TO_TBL, .table = RT_TABLE_MAIN, .mark = CULVERT_MARK_EGRESS, .mask = 0xffffffff},
    {.priority = 101, .action = FR_ACT_TO_TBL, .table = kTable, .local_dns = true}};

void describe(Message& message, int family, const Rule& rule) {
  fib_rule_hdr header{};
  header.family = static_cast<__u8>(family);
  header.action = rule.action;
  header.table = static_cast<__u8>(rule.table);
  message.header(header);
  message.add(FRA_PRIORITY, rule.priority);
  if (rule.table != 0) message.add(FRA_TABLE, rule.table);
  if (rule.mask != 0) {
    message.add(FRA_FWMARK, rule.mark);
    message.add(FRA_FWMASK, rule.mask);
  }
  if (rule.local_dns) {
    constexpr fib_rule_port_range kPorts{.start = kDnsPort, .end = kDnsPort};
    message.add(FRA_IIFNAME, "lo");
    message.add_u8(FRA_IP_PROTO, IPPROTO_UDP);
    message.add(FRA_DPORT_RANGE, &kPorts, sizeof(kPorts));
  }
}

// A kernel without IPv6 has no IPv6 connections to route.
bool no_such_family(int family, int error) { return family == AF_INET6 && (error == EAFNOSUPPORT || error == EOPNOTSUPP); }

Status add_rules(Netlink& netlink, int family, std::span<const Rule> rules) {
  for (const auto& rule : rules) {
    Message message(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL);
    describe(message, family, rule);
    const auto error = netlink.request(message);
    if (!error) return std::unexpected(error.error());
    if (no_such_family(family, *error)) return {};
    if (*error != 0 && *error != EEXIST)
      return failure(culvert::format("adding the pod's rule {}: {}", rule.priority, errno_text(*error)));
  }
  return {};
}

Status remove_rules(Netlink& netlink, int family, std::span<const Rule> rules) {
  for (const auto& rule : rules) {
    for (;;) {  // until none is left, should somebody have added it twice
      Message message(RTM_DELRULE, 0);
      describe(message, family, rule);
      const auto error = netlink.request(message);
      if (!error) return std::unexpected(error.error());
      if (no_such_family(family, *error)) return {};
      if (*error == ENOENT) break;
      if (*error != 0) return failure(culvert::format("removing the pod's rule {}: {}", rule.priority, errno_text(*error)));
    }
  }
  return {};
}

struct Route {
  std::uint32_t device = 0, metric = 0;
  IpAddress source;
  friend bool operator==(const Route&, const Route&) = default;
};

void describe(Message& message, int family, const Route& route) {
  rtmsg header{};
  header.rtm_family = static_cast<unsigned char>(family);
  header.rtm_table = static_cast<unsigned char>(kTable);
  header.rtm_protocol = RTPROT_STATIC;
  header.rtm_scope = RT_SCOPE_HOST;
  header.rtm_type = RTN_LOCAL;
  message.header(header);
  message.add(RTA_TABLE, kTable);
  message.add(RTA_OIF, route.device);
  message.add(RTA_PRIORITY, route.metric);
  if (!route.source.is_none()) message.add(RTA_PREFSRC, route.source.bytes().data(), route.source.bytes().size());
}

std::uint32_t number(const nlattr* attribute) { return attribute == nullptr ? 0 : mnl_attr_get_u32(attribute); }

Result<std::vector<Route>> present_routes(Netlink& netlink, int family) {
  Message message(RTM_GETROUTE, 0);
  rtmsg header{};
  header.rtm_family = static_cast<unsigned char>(family);
  message.header(header);
  std::vector<Route> routes;
  const auto done = netlink.dump(message, [&](const nlmsghdr* answer) {
    const auto at = [&](int attribute) { return find_attribute(answer, sizeof(rtmsg), attribute); };
    const auto* found = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(answer));
    if (answer->nlmsg_type != RTM_NEWROUTE || found->rtm_family != family || number(at(RTA_TABLE)) != kTable) return;
    routes.push_back({.device = number(at(RTA_OIF)), .metric = number(at(RTA_PRIORITY)), .source = address_of(at(RTA_PREFSRC))});
  });
  if (!done) return std::unexpected(done.error().during("listing the pod's routes"));
  return routes;
}

// Every interface but lo.
Result<std::vector<std::uint32_t>> interfaces(Netlink& netlink) {
  Message message(RTM_GETLINK, 0);
  message.header(ifinfomsg{});
  std::vector<std::uint32_t> found;
  const auto done = netlink.dump(message, [&](const nlmsghdr* answer) {
    const auto* link = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(answer));
    if (answer->nlmsg_type == RTM_NEWLINK && (link->ifi_flags & IFF_LOOPBACK) == 0 && (link->ifi_flags & IFF_UP) != 0)
      found.push_back(static_cast<std::uint32_t>(link->ifi_index));
  });
  if (!done) return std::unexpected(done.error().during("listing the pod's interfaces"));
  return found;
}

Result<std::vector<Route>> wanted_routes(Netlink& netlink, const std::optional<IpAddress>& pod) {
  std::vector<Route> routes;
  if (!pod) return routes;
  const auto devices = interfaces(netlink);
  if (!devices) return std::unexpected(devices.error());
  routes.push_back({.device = kLoopback, .metric = kFirstMetric, .source = *pod});
  for (std::uint32_t i = 0; i < devices->size(); i++)
    routes.push_back({.device = (*devices)[i], .metric = kInterfaceMetric + i, .source = *pod});
  return routes;
}

}  // namespace

Status add_capture_rules(Netlink& netlink, int family) { return add_rules(netlink, family, kCaptureRules); }
Status add_dns_rules(Netlink& netlink, int family) { return add_rules(netlink, family, kDnsRules); }
Status remove_capture_rules(Netlink& netlink, int family) { return remove_rules(netlink, family, kCaptureRules); }
Status remove_dns_rules(Netlink& netlink, int family) { return remove_rules(netlink, family, kDnsRules); }

Status set_routes(Netlink& netlink, int family, const std::optional<IpAddress>& pod) {
  const auto apply = [&](int type, int flags, const Route& route) -> Result<int> {
    Message message(type, flags);
    describe(message, family, route);
    return netlink.request(message);
  };
  const auto wanted = wanted_routes(netlink, pod);
  if (!wanted) return std::unexpected(wanted.error());
  // Replaced in place and only then tidied up: at no moment is a captured connection without its route.
  for (const auto& route : *wanted) {
    const auto error = apply(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, route);
    if (!error) return std::unexpected(error.error());
    if (*error != 0)
      return failure(culvert::format("adding the pod's local route with source {}: {} (has the pod this address, is lo up?)",
                                     route.source.text(), errno_text(*error)));
  }
  const auto present = present_routes(netlink, family);
  if (!present) return std::unexpected(present.error());
  for (const auto& route : *present) {
    if (std::ranges::contains(*wanted, route)) continue;
    const auto error = apply(RTM_DELROUTE, 0, route);
    if (!error) return std::unexpected(error.error());
    if (*error != 0 && *error != ESRCH && *error != ENOENT)
      return failure(culvert::format("removing a route of the pod: {}", errno_text(*error)));
  }
  return {};
}

}  // namespace culvert::redirect
