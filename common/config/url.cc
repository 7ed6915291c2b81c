#include "common/config/url.h"

#include <algorithm>

#include "common/base/address.h"

namespace culvert::config {
namespace {

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

// Each % has its two digits.
bool is_escaped(std::string_view text) {
  for (auto at = text.find('%'); at != text.npos; at = text.find('%', at + 3)) {
    if (at + 2 >= text.size() || !is_hex(text[at + 1]) || !is_hex(text[at + 2])) return false;
  }
  return true;
}

bool is_user(std::string_view user) {
  static constexpr std::string_view kOthers = "-._:~!$&'()*+,;=%@";
  return is_escaped(user) && std::ranges::all_of(user, [](char c) { return is_letter(c) || is_digit(c) || kOthers.contains(c); });
}

// ":80", ":" or nothing.
bool is_port(std::string_view text) {
  return text.empty() || (text.front() == ':' && std::ranges::all_of(text.substr(1), is_digit));
}

// Any byte above ASCII may be there, escaped or not; of ASCII only '%' may be escaped.
bool is_host(std::string_view host) {
  static constexpr std::string_view kOthers = "-_.~!$&'()*+,;=:]<>\"%";
  if (!is_escaped(host)) return false;
  for (auto at = host.find('%'); at != host.npos; at = host.find('%', at + 3)) {
    if (host[at + 1] < '8' && host.substr(at, 3) != "%25") return false;
  }
  return std::ranges::all_of(
      host, [](char c) { return is_letter(c) || is_digit(c) || static_cast<unsigned char>(c) >= 0x80 || kOthers.contains(c); });
}

// "[fd00::1]:80", with a zone behind %25.
bool is_bracketed(std::string_view host) {
  const auto end = host.rfind(']');
  if (end == host.npos || !host.starts_with('[')) return false;
  const std::string_view inside = host.substr(1, end - 1);
  const std::string_view address = inside.substr(0, inside.find("%25"));
  return address.contains(':') && IpAddress::parse(address) && is_escaped(inside) && is_port(host.substr(end + 1));
}

bool is_authority(std::string_view text) {
  const auto at = text.rfind('@');
  if (at != text.npos && !is_user(text.substr(0, at))) return false;
  const std::string_view host = at == text.npos ? text : text.substr(at + 1);
  if (host.contains('[')) return is_bracketed(host);
  const auto colon = host.rfind(':');
  return is_host(host) && (colon == host.npos || is_port(host.substr(colon)));
}

// Where the scheme ends: at the first colon, unless something stands before it that no scheme has.
std::size_t scheme_size(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == ':') return i;
    const bool later = is_digit(text[i]) || text[i] == '+' || text[i] == '-' || text[i] == '.';
    if (!is_letter(text[i]) && !(later && i > 0)) return 0;
  }
  return 0;
}

}  // namespace

std::optional<std::string> scheme_of(std::string_view text) {
  if (text == "*") return "";
  if (text.starts_with(':') || std::ranges::any_of(text, is_control)) return std::nullopt;
  const std::size_t size = scheme_size(text);
  std::string scheme(text.substr(0, size));
  std::ranges::transform(scheme, scheme.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  std::string_view rest = text.substr(size == 0 ? 0 : size + 1);
  rest = rest.substr(0, rest.find('?'));
  if (!rest.starts_with('/')) return size == 0 ? std::nullopt : std::optional(scheme);  // "mailto:anything"
  if (size > 0 && rest.starts_with("//")) {
    rest.remove_prefix(2);
    const std::string_view authority = rest.substr(0, rest.find('/'));
    if (!is_authority(authority)) return std::nullopt;
    rest.remove_prefix(authority.size());
  }
  return is_escaped(rest) ? std::optional(scheme) : std::nullopt;
}

}  // namespace culvert::config
