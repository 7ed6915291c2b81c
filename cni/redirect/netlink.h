#pragma once
// rtnetlink and sock_diag by libmnl: requests that the kernel acknowledges, and dumps. Internal to redirect.

#include <libmnl/libmnl.h>
#include <linux/netlink.h>

#include <array>
#include <functional>
#include <string_view>

#include "common/base/address.h"
#include "common/base/fd.h"
#include "common/base/result.h"

namespace culvert::redirect {

// One message under construction.
class Message {
 public:
  Message(int type, int flags);
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;

  // The family header that follows the netlink header: struct rtmsg, struct fib_rule_hdr, ...
  template <class Header>
  void header(const Header& value) {
    *static_cast<Header*>(mnl_nlmsg_put_extra_header(message_, sizeof(Header))) = value;
  }
  void add(int attribute, std::uint32_t value) { mnl_attr_put_u32(message_, static_cast<std::uint16_t>(attribute), value); }
  void add_u8(int attribute, std::uint8_t value) { mnl_attr_put_u8(message_, static_cast<std::uint16_t>(attribute), value); }
  void add(int attribute, const char* text) { mnl_attr_put_strz(message_, static_cast<std::uint16_t>(attribute), text); }
  void add(int attribute, const void* bytes, std::size_t size) {
    mnl_attr_put(message_, static_cast<std::uint16_t>(attribute), size, bytes);
  }

  nlmsghdr* get() { return message_; }

 private:
  alignas(nlmsghdr) std::array<char, 1024> buffer_{};
  nlmsghdr* message_;
};

// A netlink socket in the network namespace of the thread that opens it; it stays there.
class Netlink {
 public:
  static Result<Netlink> open(int protocol);

  // Sends a request and waits for its acknowledgement: 0, or the errno that the kernel answers with.
  Result<int> request(Message& message);
  // Sends a dump request; `each` sees every message of the answer.
  Status dump(Message& message, const std::function<void(const nlmsghdr*)>& each);

 private:
  explicit Netlink(Fd socket) : socket_(std::move(socket)) {}
  Result<int> exchange(Message& message, const std::function<void(const nlmsghdr*)>& each);

  Fd socket_;
  std::uint32_t sequence_ = 0;
};

// The attribute of a message, or nullptr. `header` is the size of the family header.
const nlattr* find_attribute(const nlmsghdr* message, std::size_t header, int attribute);

// The address that an attribute carries.
IpAddress address_of(const nlattr* attribute);

}  // namespace culvert::redirect
