#include "common/base/address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>

#include "common/base/check.h"
#include "common/base/format.h"

namespace culvert {
namespace {

template <class Integer>
std::optional<Integer> parse_number(std::string_view text) {
  Integer value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

IpAddress IpAddress::v4(std::uint32_t host_order) {
  const std::array<std::uint8_t, 4> bytes = {static_cast<std::uint8_t>(host_order >> 24),
                                             static_cast<std::uint8_t>(host_order >> 16),
                                             static_cast<std::uint8_t>(host_order >> 8), static_cast<std::uint8_t>(host_order)};
  return v4(bytes);
}

IpAddress IpAddress::v4(std::span<const std::uint8_t, 4> network_order) {
  IpAddress address;
  std::ranges::copy(network_order, address.bytes_.begin());
  address.size_ = 4;
  return address;
}

IpAddress IpAddress::v6(std::span<const std::uint8_t, 16> network_order) {
  static constexpr std::array<std::uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (std::ranges::equal(network_order.first<12>(), kMapped)) return v4(network_order.last<4>());
  IpAddress address;
  std::ranges::copy(network_order, address.bytes_.begin());
  address.size_ = 16;
  return address;
}

Result<IpAddress> IpAddress::from_bytes(std::span<const std::uint8_t> bytes) {
  if (bytes.size() == 4) return v4(bytes.first<4>());
  if (bytes.size() == 16) return v6(bytes.first<16>());
  return failure(culvert::format("an IP address has 4 or 16 bytes, not {}", bytes.size()));
}

Result<IpAddress> IpAddress::parse(std::string_view text) {
  const std::string terminated(text);
  std::array<std::uint8_t, 16> bytes{};
  if (inet_pton(AF_INET, terminated.c_str(), bytes.data()) == 1) return v4(std::span(bytes).first<4>());
  if (inet_pton(AF_INET6, terminated.c_str(), bytes.data()) == 1) return v6(bytes);
  return failure(culvert::format("\"{}\" is not an IP address", text));
}

bool IpAddress::is_loopback() const {
  if (is_v4()) return bytes_[0] == 127;
  return is_v6() && bytes_[15] == 1 && std::all_of(bytes_.begin(), bytes_.end() - 1, [](auto b) { return b == 0; });
}

bool IpAddress::is_unspecified() const {
  return !is_none() && std::ranges::all_of(bytes_, [](auto b) { return b == 0; });
}

bool IpAddress::is_link_local() const {
  if (is_v4()) return bytes_[0] == 169 && bytes_[1] == 254;
  return is_v6() && bytes_[0] == 0xfe && (bytes_[1] & 0xc0) == 0x80;
}

std::uint32_t IpAddress::v4_host_order() const {
  CULVERT_CHECK(is_v4());
  return std::uint32_t{bytes_[0]} << 24 | std::uint32_t{bytes_[1]} << 16 | std::uint32_t{bytes_[2]} << 8 | bytes_[3];
}

std::string IpAddress::text() const {
  if (is_none()) return "none";
  char buffer[INET6_ADDRSTRLEN];
  return inet_ntop(is_v4() ? AF_INET : AF_INET6, bytes_.data(), buffer, sizeof buffer);
}

Result<Endpoint> Endpoint::parse(std::string_view text) {
  const auto bad = [&] { return failure(culvert::format("\"{}\" is not IP:PORT", text)); };
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return bad();
  std::string_view host = text.substr(0, colon);
  const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  const auto address = IpAddress::parse(host);
  const auto port = parse_number<std::uint16_t>(text.substr(colon + 1));
  if (!address || !port || bracketed != (host.find(':') != std::string_view::npos)) return bad();
  return Endpoint{.address = *address, .port = *port};
}

std::string Endpoint::text() const {
  char buffer[INET6_ADDRSTRLEN + sizeof "[]:65535"];
  char* end = buffer;
  if (address.is_none()) return culvert::format("none:{}", port);
  if (address.is_v6()) *end++ = '[';
  inet_ntop(address.is_v4() ? AF_INET : AF_INET6, address.bytes().data(), end, INET6_ADDRSTRLEN);
  end += std::strlen(end);
  if (address.is_v6()) *end++ = ']';
  *end++ = ':';
  return {buffer, std::to_chars(end, std::end(buffer), port).ptr};
}

Result<Cidr> Cidr::parse(std::string_view text) {
  const auto slash = text.find('/');
  const auto address = IpAddress::parse(text.substr(0, slash));
  if (!address) return std::unexpected(address.error());
  if (slash == std::string_view::npos) return make(*address, static_cast<unsigned>(address->bytes().size() * 8));
  const auto length = parse_number<unsigned>(text.substr(slash + 1));
  if (!length) return failure(culvert::format("\"{}\" is not ADDRESS/LENGTH", text));
  return make(*address, *length);
}

Result<Cidr> Cidr::make(IpAddress address, unsigned length) {
  if (address.is_none() || length > address.bytes().size() * 8)
    return failure(culvert::format("{}/{}: the prefix is longer than the address", address.text(), length));
  return Cidr{.address = address, .length = static_cast<std::uint8_t>(length)};
}

bool Cidr::contains(const IpAddress& other) const {
  const auto mine = address.bytes();
  const auto theirs = other.bytes();
  if (mine.size() != theirs.size()) return false;
  const std::size_t whole = length / 8;
  if (!std::equal(mine.begin(), mine.begin() + static_cast<std::ptrdiff_t>(whole), theirs.begin())) return false;
  const unsigned rest = length % 8;
  return rest == 0 || (mine[whole] ^ theirs[whole]) >> (8 - rest) == 0;
}

std::string Cidr::text() const { return culvert::format("{}/{}", address.text(), length); }

}  // namespace culvert
