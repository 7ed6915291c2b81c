#include "common/hbone/request.h"

#include <algorithm>
#include <charconv>
#include <random>
#include <ranges>
#include <utility>

#include "common/base/format.h"

namespace culvert::hbone {
namespace {

std::string_view trim(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t");
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

// "key=value" -> {key, value}
std::pair<std::string_view, std::string_view> split(std::string_view text) {
  const auto at = text.find('=');
  if (at == text.npos) return {trim(text), {}};
  return {trim(text.substr(0, at)), trim(text.substr(at + 1))};
}

std::string_view unquote(std::string_view text) {
  return text.size() >= 2 && text.front() == '"' && text.back() == '"' ? text.substr(1, text.size() - 2) : text;
}

bool is_host(std::string_view text) {
  return !text.empty() && text.size() <= 253 && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
  });
}

bool is_traceparent(std::string_view text) {
  if (text.size() != 55) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool dash = i == 2 || i == 35 || i == 52;
    if (dash ? c != '-' : !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return false;
  }
  return true;
}

constexpr std::size_t kMostBaggage = 4 * 1024;  // eight times what a workload with long names has
constexpr std::size_t kMostNetwork = 253;

// The values of all headers of that name, joined as one list (RFC 9110 §5.3), up to the first that makes it longer than `most`.
std::string joined(std::span<const http::HeaderField> headers, std::string_view name, std::size_t most = std::string::npos) {
  std::string all;
  for (const auto& header : headers) {
    if (header.name != name) continue;
    if (all.size() + 1 + header.value.size() > most) break;
    if (!all.empty()) all += ',';
    all += header.value;
  }
  return all;
}

std::string_view first(std::span<const http::HeaderField> headers, std::string_view name) {
  const auto found = std::ranges::find(headers, name, &http::HeaderField::name);
  return found == headers.end() ? std::string_view{} : std::string_view(found->value);
}

}  // namespace

Result<Authority> Authority::parse(std::string_view text) {
  const auto bad = [&](std::string_view why) {
    return failure(culvert::format("authority \"{}\": {}", text.substr(0, 300), why), Reason::kBadRequest);
  };
  const auto colon = text.rfind(':');
  if (colon == text.npos) return bad("no port");
  auto host = text.substr(0, colon);
  const auto digits = text.substr(colon + 1);
  Authority authority;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), authority.port);
  if (digits.empty() || error != std::errc{} || end != digits.data() + digits.size() || authority.port == 0)
    return bad("not a port");

  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (const auto ip = IpAddress::parse(host); ip && (bracketed == (host.find(':') != host.npos))) {
    authority.ip = *ip;
    return authority;
  }
  if (bracketed || !is_host(host)) return bad("neither an address nor a host name");
  authority.host = host;
  return authority;
}

std::string Authority::text() const { return is_ip() ? Endpoint{ip, port}.text() : culvert::format("{}:{}", host, port); }

std::string Forwarded::text() const {
  std::string out;
  if (source) out.append("for=\"").append(source->text()).append("\"");
  if (!host.empty()) out.append(out.empty() ? "host=" : ";host=").append(host);
  return out;
}

Forwarded Forwarded::parse(std::string_view text) {
  Forwarded forwarded;
  const auto element = text.substr(0, text.find(','));  // the first proxy's
  for (const auto part : element | std::views::split(';')) {
    const auto [key, value] = split(std::string_view(part));
    if (key == "host" && is_host(unquote(value))) forwarded.host = unquote(value);
    if (key != "for") continue;
    if (const auto source = Endpoint::parse(unquote(value))) forwarded.source = *source;
  }
  return forwarded;
}

http::HeaderList ConnectRequest::headers() const {
  http::HeaderList list = {{":method", "CONNECT"}, {":authority", authority.text()}};
  if (!baggage.empty()) list.push_back({"baggage", baggage});
  if (auto text = forwarded.text(); !text.empty()) list.push_back({"forwarded", std::move(text), false});
  if (!traceparent.empty()) list.push_back({"traceparent", traceparent, false});
  if (!forwarded_network.empty()) list.push_back({"x-forwarded-network", forwarded_network});
  return list;
}

Result<ConnectRequest> ConnectRequest::parse(std::span<const http::HeaderField> headers) {
  if (const auto method = first(headers, ":method"); method != "CONNECT")
    return failure(culvert::format("a {} request on the tunnel port: only CONNECT is served", method.substr(0, 32)),
                   Reason::kBadRequest);
  for (const auto extra : {":scheme", ":path", ":protocol"})
    if (std::ranges::contains(headers, extra, &http::HeaderField::name))
      return failure(culvert::format("CONNECT with {}", extra), Reason::kBadRequest);
  auto authority = Authority::parse(first(headers, ":authority"));
  if (!authority) return std::unexpected(std::move(authority.error()));

  const auto trace = first(headers, "traceparent");
  const auto network = first(headers, "x-forwarded-network");
  ConnectRequest request{.authority = *std::move(authority),
                         .baggage = joined(headers, "baggage", kMostBaggage),
                         .forwarded = Forwarded::parse(joined(headers, "forwarded")),
                         .traceparent = is_traceparent(trace) ? std::string(trace) : std::string(),
                         .forwarded_network = network.size() <= kMostNetwork ? std::string(network) : std::string()};
  return request;
}

std::size_t ConnectRequest::held() const {
  return authority.host.capacity() + baggage.capacity() + forwarded.host.capacity() + traceparent.capacity() +
         forwarded_network.capacity();
}

http::HeaderList ConnectResponse::headers() const {
  http::HeaderList list = {{":status", std::to_string(status)}};
  if (!baggage.empty()) list.push_back({"baggage", baggage});
  return list;
}

Result<ConnectResponse> ConnectResponse::parse(std::span<const http::HeaderField> headers) {
  const auto text = first(headers, ":status");
  ConnectResponse response;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), response.status);
  if (text.size() != 3 || error != std::errc{} || end != text.data() + text.size() || response.status < 100)
    return failure("a response without a status", Reason::kHttp2Failure);
  response.baggage = joined(headers, "baggage");
  return response;
}

std::string make_traceparent() {
  thread_local std::mt19937_64 random{std::random_device{}()};
  std::string out = "00-00000000000000000000000000000000-0000000000000000-00";
  const auto put = [&out](std::size_t at) {
    std::uint64_t bits = random() | 1;  // all zeroes are not allowed
    for (std::size_t digit = 16; digit-- > 0; bits >>= 4) out[at + digit] = "0123456789abcdef"[bits & 15];
  };
  put(3);
  put(19);
  put(36);
  return out;
}

}  // namespace culvert::hbone
