#pragma once
// IP addresses, endpoints and prefixes as plain values. No sockets here.

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace culvert {

// An IPv4 or IPv6 address. IPv4-mapped IPv6 addresses (::ffff:a.b.c.d) are turned into IPv4 when made: one host, one value.
class IpAddress {
 public:
  constexpr IpAddress() = default;  // "none": neither v4 nor v6

  static IpAddress v4(std::uint32_t host_order);
  static IpAddress v4(std::span<const std::uint8_t, 4> network_order);
  static IpAddress v6(std::span<const std::uint8_t, 16> network_order);
  // 4 or 16 bytes in network order, as protos carry them.
  static Result<IpAddress> from_bytes(std::span<const std::uint8_t> bytes);
  // "10.0.0.1", "fd00::1"; no brackets, no zone.
  static Result<IpAddress> parse(std::string_view text);

  bool is_none() const { return size_ == 0; }
  bool is_v4() const { return size_ == 4; }
  bool is_v6() const { return size_ == 16; }
  bool is_loopback() const;
  bool is_unspecified() const;
  bool is_link_local() const;

  std::span<const std::uint8_t> bytes() const { return {bytes_.data(), size_}; }  // network order, 0, 4 or 16
  std::uint32_t v4_host_order() const;                                            // only when is_v4()
  std::string text() const;

  friend auto operator<=>(const IpAddress&, const IpAddress&) = default;

 private:
  std::array<std::uint8_t, 16> bytes_{};  // bytes past size_ are zero
  std::uint8_t size_ = 0;
};

// An address and a TCP or UDP port (host order). `scope` is the interface index of a link-local address, else 0.
struct Endpoint {
  IpAddress address;
  std::uint16_t port = 0;
  std::uint32_t scope = 0;

  // "10.0.0.1:80", "[fd00::1]:80".
  static Result<Endpoint> parse(std::string_view text);
  std::string text() const;

  friend auto operator<=>(const Endpoint&, const Endpoint&) = default;
};

// A prefix: "10.0.0.0/8". A bare address is the prefix of its full length.
struct Cidr {
  IpAddress address;
  std::uint8_t length = 0;

  static Result<Cidr> parse(std::string_view text);
  static Result<Cidr> make(IpAddress address, unsigned length);
  bool contains(const IpAddress& other) const;
  std::string text() const;

  friend auto operator<=>(const Cidr&, const Cidr&) = default;
};

}  // namespace culvert

template <>
struct std::hash<culvert::IpAddress> {
  std::size_t operator()(const culvert::IpAddress& address) const noexcept {
    const auto bytes = address.bytes();
    return std::hash<std::string_view>{}({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }
};

template <>
struct std::hash<culvert::Endpoint> {
  std::size_t operator()(const culvert::Endpoint& endpoint) const noexcept {
    return std::hash<culvert::IpAddress>{}(endpoint.address) * 31 + endpoint.port;
  }
};
