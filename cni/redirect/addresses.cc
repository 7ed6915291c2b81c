// What is in a pod's namespace: addresses, and sockets that still carry our marks.

#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/inet_diag.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>

#include "bpf/include/culvert_abi.h"
#include "cni/redirect/netlink.h"
#include "cni/redirect/netns.h"
#include "cni/redirect/redirect.h"

namespace culvert::redirect {
namespace {

struct Found {
  IpAddress address;
  unsigned char scope;
  std::uint32_t flags;
};

Result<std::vector<Found>> addresses_here() {
  auto netlink = Netlink::open(NETLINK_ROUTE);
  if (!netlink) return std::unexpected(netlink.error());
  std::vector<Found> found;
  Message message(RTM_GETADDR, 0);
  message.header(ifaddrmsg{});
  const auto done = netlink->dump(message, [&](const nlmsghdr* answer) {
    const auto* header = static_cast<const ifaddrmsg*>(mnl_nlmsg_get_payload(answer));
    const auto at = [&](int attribute) { return find_attribute(answer, sizeof(ifaddrmsg), attribute); };
    const auto* local = at(IFA_LOCAL);  // absent for IPv6; of a point-to-point IFA_ADDRESS is the peer's
    const auto address = address_of(local != nullptr ? local : at(IFA_ADDRESS));
    const auto* flags = at(IFA_FLAGS);
    if (answer->nlmsg_type != RTM_NEWADDR || address.is_none() || address.is_loopback()) return;
    found.push_back({address, header->ifa_scope, flags != nullptr ? mnl_attr_get_u32(flags) : header->ifa_flags});
  });
  if (!done) return std::unexpected(done.error().during("listing the pod's addresses"));
  return found;
}

// Runs `ask` inside the namespace and hands its result out.
template <class T>
Result<T> ask_in(int netns, const std::function<Result<T>()>& ask) {
  Result<T> result;
  const auto entered = in_netns(netns, [&]() -> Status {
    result = ask();
    return {};
  });
  if (!entered) return std::unexpected(entered.error());
  return result;
}

Result<MarkedSockets> marked_sockets_here() {
  auto netlink = Netlink::open(NETLINK_SOCK_DIAG);
  if (!netlink) return std::unexpected(netlink.error());
  MarkedSockets marked;
  for (const int family : {AF_INET, AF_INET6}) {
    Message message(SOCK_DIAG_BY_FAMILY, 0);
    inet_diag_req_v2 request{};
    request.sdiag_family = static_cast<__u8>(family);
    request.sdiag_protocol = IPPROTO_TCP;
    request.idiag_states = ~((1U << TCP_LISTEN) | (1U << TCP_CLOSE) | (1U << TCP_TIME_WAIT));
    message.header(request);
    const auto done = netlink->dump(message, [&](const nlmsghdr* answer) {
      const auto* attribute = find_attribute(answer, sizeof(inet_diag_msg), INET_DIAG_MARK);
      const std::uint32_t mark = attribute != nullptr ? mnl_attr_get_u32(attribute) : 0;
      if ((mark & CULVERT_MARK_MASK) != (CULVERT_MARK_CAPTURED & CULVERT_MARK_MASK)) return;
      marked.open++;
      const auto* socket = static_cast<const inet_diag_msg*>(mnl_nlmsg_get_payload(answer));
      if (mark == CULVERT_MARK_CAPTURED && socket->idiag_state == TCP_SYN_SENT) marked.connecting++;
    });
    if (!done) return std::unexpected(done.error().during("counting the pod's captured sockets"));
  }
  return marked;
}

}  // namespace

Result<std::vector<IpAddress>> own_addresses(int netns) {
  return ask_in<std::vector<IpAddress>>(netns, []() -> Result<std::vector<IpAddress>> {
    const auto found = addresses_here();
    if (!found) return std::unexpected(found.error());
    std::vector<IpAddress> addresses;
    for (const auto& one : *found) addresses.push_back(one.address);
    std::ranges::sort(addresses);
    const auto repeated = std::ranges::unique(addresses);
    addresses.erase(repeated.begin(), repeated.end());
    return addresses;
  });
}

Result<PodAddresses> primary_addresses(int netns) {
  return ask_in<PodAddresses>(netns, []() -> Result<PodAddresses> {
    const auto found = addresses_here();
    if (!found) return std::unexpected(found.error());
    PodAddresses primary;
    for (const auto& one : *found) {  // in the order in which they were given
      auto& slot = one.address.is_v4() ? primary.v4 : primary.v6;
      if (!slot && one.scope == RT_SCOPE_UNIVERSE && (one.flags & (IFA_F_TEMPORARY | IFA_F_DEPRECATED | IFA_F_DADFAILED)) == 0)
        slot = one.address;
    }
    return primary;
  });
}

Result<MarkedSockets> marked_sockets(int netns) { return ask_in<MarkedSockets>(netns, marked_sockets_here); }

}  // namespace culvert::redirect
