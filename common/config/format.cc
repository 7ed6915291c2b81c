// By hand, not by regular expressions: what a stranger wrote may be long, and std::regex recurses. format_test.cc compares the two.
#include "common/config/format.h"

#include <algorithm>
#include <array>

#include "common/config/spelling.h"

namespace culvert::config {
namespace {

bool lower(char c) { return c >= 'a' && c <= 'z'; }
bool upper(char c) { return c >= 'A' && c <= 'Z'; }
bool digit(char c) { return c >= '0' && c <= '9'; }
bool letter(char c) { return lower(c) || upper(c); }
bool alnum(char c) { return letter(c) || digit(c); }

bool all(std::string_view text, bool (*good)(char)) { return std::ranges::all_of(text, good); }

// Each of the parts between dots is a DNS label.
bool is_dns(std::string_view text) {
  if (text.empty() || text.size() > 253) return false;
  while (true) {
    const std::string_view part = text.substr(0, text.find('.'));
    if (part.empty() || (!lower(part.front()) && !digit(part.front())) || part.back() == '-') return false;
    if (!std::ranges::all_of(part, [](char c) { return lower(c) || digit(c) || c == '-'; })) return false;
    if (part.size() == text.size()) return true;
    text.remove_prefix(part.size() + 1);
  }
}

bool is_host(std::string_view text) { return is_dns(text.starts_with("*.") ? text.substr(2) : text); }

bool is_label_name(std::string_view text) {
  return !text.empty() && text.size() <= 63 && alnum(text.front()) && alnum(text.back()) &&
         std::ranges::all_of(text, [](char c) { return alnum(c) || c == '-' || c == '_' || c == '.'; });
}

bool is_label_key(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return is_label_name(text);
  return is_dns(text.substr(0, slash)) && is_label_name(text.substr(slash + 1));
}

bool is_token(std::string_view text) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::ranges::all_of(text, [&](char c) { return alnum(c) || kMarks.contains(c); });
}

bool is_url(std::string_view text) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (text.starts_with(scheme) && text.size() > scheme.size() && text[scheme.size()] != '/') return !text.contains(' ');
  }
  return false;
}

bool is_sha256(std::string_view text) {
  return text.empty() ||
         (text.size() == 64 && std::ranges::all_of(text, [](char c) { return digit(c) || (c >= 'a' && c <= 'f'); }));
}

bool is_kind(std::string_view text) {
  return !text.empty() && letter(text.front()) && text.back() != '-' &&
         std::ranges::all_of(text, [](char c) { return alnum(c) || c == '-'; });
}

// 1 to 4 times 1 to 5 digits and a unit.
bool is_short_duration(std::string_view text) {
  int parts = 0;
  for (; !text.empty() && parts <= 4; ++parts) {
    const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
    if (digits == 0 || digits > 5) return false;
    text.remove_prefix(digits);
    if (text.starts_with("ms")) {
      text.remove_prefix(2);
    } else if (text.starts_with('h') || text.starts_with('m') || text.starts_with('s')) {
      text.remove_prefix(1);
    } else {
      return false;
    }
  }
  return text.empty() && parts >= 1 && parts <= 4;
}

bool is_controller(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos || !is_dns(text.substr(0, slash)) || slash + 1 == text.size()) return false;
  constexpr std::string_view kMarks = "/-._~%!$&'()*+,;=:";
  return std::ranges::all_of(text.substr(slash + 1), [&](char c) { return alnum(c) || kMarks.contains(c); });
}

bool is_env_name(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return alnum(c) || c == '-' || c == '_'; });
}

bool is_grpc(std::string_view text) {
  return !text.empty() && (letter(text.front()) || text.front() == '_') &&
         std::ranges::all_of(text, [](char c) { return alnum(c) || c == '_' || c == '.'; });
}

bool is_host_or_address(std::string_view text) {
  const auto hex = [](char c) { return digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == ':' || c == '.'; };
  return is_host(text) || (text.contains(':') && std::ranges::all_of(text, hex));
}

#define CULVERT_DNS "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
#define CULVERT_LABEL "[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"

constexpr std::array<FormatRow, 19> kFormats = {{
    {nullptr, "", "", ""},
    {is_dns, "is not a DNS name", "lower-case letters, digits, '-' and '.'", "^" CULVERT_DNS "$"},
    {[](std::string_view text) { return is_dns_name(text, 63, false); }, "is not a DNS label",
     "lower-case letters, digits and '-', at most 63", "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"},
    {is_host, "is not a host", "write for example example.com or *.example.com", "^(\\*\\.)?" CULVERT_DNS "$"},
    {is_label_key, "is not a label's name", "write for example app or example.com/app", "^(" CULVERT_DNS "/)?" CULVERT_LABEL "$"},
    {[](std::string_view text) { return text.empty() || is_label_name(text); }, "is not a label's value",
     "letters, digits, '-', '_' and '.', at most 63", "^(" CULVERT_LABEL ")?$"},
    {is_token, "is not the name of a header", "write for example x-user", "^[A-Za-z0-9!#$%&'*+\\-.^_\\x60|~]+$"},
    {[](std::string_view text) { return !text.empty() && all(text, upper); }, "is not a method", "write for example GET",
     "^[A-Z]+$"},
    {is_url, "is not a URL", "write for example https://example.com/keys", "^https?://[^/ ][^ ]*$"},
    {is_sha256, "is not a SHA-256", "write its 64 lower-case hexadecimal digits", "(^$|^[a-f0-9]{64}$)"},
    {is_kind, "is not a kind", "write for example Service", "^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$"},
    {[](std::string_view text) { return !text.contains('*'); }, "has a wildcard, which is not allowed here",
     "write the whole of it", "^[^*]*$"},
    {is_short_duration, "is not a duration", "write for example 30s, 1h30m or 500ms", "^([0-9]{1,5}(h|m|s|ms)){1,4}$"},
    {is_controller, "is not a controller's name", "write for example example.com/controller",
     "^" CULVERT_DNS "/[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+$"},
    {[](std::string_view text) { return text.starts_with('/'); }, "is not a path", "begin it with /", "^/"},
    {is_env_name, "is not a name", "letters, digits, '-' and '_'", "^[-_A-Za-z0-9]+$"},
    {is_grpc, "is not what gRPC calls a service or a method", "write for example shop.Cart", "^[A-Za-z_][A-Za-z0-9_.]*$"},
    {is_host_or_address, "is neither a host nor an address", "write for example example.com or 10.0.0.1",
     "^((\\*\\.)?" CULVERT_DNS "|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*)$"},
    {[](std::string_view text) { return text.empty() || is_dns(text); }, "is not a DNS name",
     "lower-case letters, digits, '-' and '.'", "^(" CULVERT_DNS ")?$"},
}};
static_assert(kFormats.size() == culvert::Format_ARRAYSIZE);

}  // namespace

const FormatRow* row_of(culvert::Format format) {
  const auto index = static_cast<std::size_t>(format);
  return index == 0 || index >= kFormats.size() ? nullptr : &kFormats[index];
}

}  // namespace culvert::config
