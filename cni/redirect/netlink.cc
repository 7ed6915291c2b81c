#include "cni/redirect/netlink.h"

#include <sys/socket.h>

#include <cerrno>
#include <span>
#include <vector>

namespace culvert::redirect {

Message::Message(int type, int flags) : message_(mnl_nlmsg_put_header(buffer_.data())) {
  message_->nlmsg_type = static_cast<std::uint16_t>(type);
  message_->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
}

Result<Netlink> Netlink::open(int protocol) {
  Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));
  if (!socket) return failure_errno("opening a netlink socket");
  const timeval patience{.tv_sec = 5, .tv_usec = 0};  // the kernel answers at once; nothing may hang for ever
  const sockaddr_nl self{.nl_family = AF_NETLINK, .nl_pad = 0, .nl_pid = 0, .nl_groups = 0};
  if (::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) != 0 ||
      ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&self), sizeof(self)) != 0)
    return failure_errno("binding a netlink socket");
  return Netlink(std::move(socket));
}

Result<int> Netlink::exchange(Message& message, const std::function<void(const nlmsghdr*)>& each) {
  message.get()->nlmsg_seq = ++sequence_;
  if (::send(socket_.get(), message.get(), message.get()->nlmsg_len, 0) < 0) return failure_errno("sending a netlink request");
  std::vector<char> buffer(32768);
  for (;;) {
    const auto size = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return failure_errno("waiting for a netlink answer");
    int left = static_cast<int>(size);
    for (auto* header = reinterpret_cast<const nlmsghdr*>(buffer.data()); mnl_nlmsg_ok(header, left);
         header = mnl_nlmsg_next(header, &left)) {
      if (header->nlmsg_seq != sequence_) continue;
      if (header->nlmsg_type == NLMSG_DONE) return 0;
      if (header->nlmsg_type == NLMSG_ERROR) return -static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(header))->error;
      if (header->nlmsg_type >= NLMSG_MIN_TYPE && each) each(header);
    }
  }
}

Result<int> Netlink::request(Message& message) {
  message.get()->nlmsg_flags |= NLM_F_ACK;
  return exchange(message, nullptr);
}

Status Netlink::dump(Message& message, const std::function<void(const nlmsghdr*)>& each) {
  message.get()->nlmsg_flags |= NLM_F_DUMP;
  const auto error = exchange(message, each);
  if (!error) return std::unexpected(error.error());
  if (*error != 0) return failure("asking the kernel by netlink: " + errno_text(*error));
  return {};
}

const nlattr* find_attribute(const nlmsghdr* message, std::size_t header, int attribute) {
  const auto* end = static_cast<const char*>(mnl_nlmsg_get_payload_tail(message));
  const auto* position = static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(message, header));
  for (; mnl_attr_ok(position, static_cast<int>(end - reinterpret_cast<const char*>(position)));
       position = mnl_attr_next(position)) {
    if (mnl_attr_get_type(position) == attribute) return position;
  }
  return nullptr;
}

IpAddress address_of(const nlattr* attribute) {
  if (attribute == nullptr) return {};
  const auto* bytes = static_cast<const std::uint8_t*>(mnl_attr_get_payload(attribute));
  return IpAddress::from_bytes(std::span(bytes, mnl_attr_get_payload_len(attribute))).value_or(IpAddress{});
}

}  // namespace culvert::redirect
