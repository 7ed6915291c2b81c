#include "cli/ask/page.h"

#include <charconv>
#include <format>
#include <fstream>
#include <iterator>
#include <span>
#include <utility>

#include "common/http/http1.h"
#include "common/net/dial.h"
#include "common/net/resolve.h"
#include "common/net/timer.h"

namespace culvert::cli {
namespace {

constexpr std::size_t kMostBytes = 512 << 20;  // a dump of a large mesh

std::string authority_of(const Target& target) {
  const bool v6 = target.host.contains(':');
  return std::format("{}{}{}:{}", v6 ? "[" : "", target.host, v6 ? "]" : "", target.port);
}

net::Task<Result<http::Response>> exchange(net::Loop& loop, const Target& target, const std::string& path,
                                           std::chrono::milliseconds timeout) {
  const auto addresses = co_await net::resolve(loop, target.host, timeout);
  if (!addresses) co_return std::unexpected(addresses.error());
  net::DialOptions options{.to = {addresses->front(), target.port, 0}, .timeout = timeout};
  if (target.netns) options.netns = target.netns->get();
  auto stream = co_await net::dial(loop, std::move(options));
  if (!stream) co_return std::unexpected(std::move(stream).error());
  net::Timer timer(loop);
  timer.arm(timeout, [&stream] { stream->close(); });
  http::Request request{.target = path};
  request.headers.add("Connection", "close");
  if (!target.token.empty()) request.headers.add("Authorization", "Bearer " + target.token);
  const std::string wire = http::to_wire(request, authority_of(target));
  if (!(co_await stream->write_all(std::as_bytes(std::span(wire)))).ok()) co_return failure("the connection broke");
  http::ResponseReader reader({.body = kMostBytes});
  reader.expect("GET");
  while (!reader.complete()) {
    const auto scratch = loop.scratch();
    const net::Io io = co_await stream->read(scratch);
    if (!io.ok()) {
      if (const Status done = reader.finish(); !done || !reader.complete())
        co_return failure(timer.armed() ? "the connection ended before the answer" : "no answer in time");
      break;
    }
    if (const auto fed = reader.feed(scratch.first(io.bytes)); !fed) co_return std::unexpected(fed.error());
  }
  co_return reader.take();
}

}  // namespace

std::string Target::text() const { return "http://" + authority_of(*this) + base; }

Result<Target> Target::parse(std::string_view url) {
  constexpr std::string_view kScheme = "http://";
  const auto bad = [&](std::string_view why) { return failure(std::format("\"{}\" is no address to ask ({})", url, why)); };
  if (!url.starts_with(kScheme)) return bad("write http://HOST:PORT; these pages have no TLS of their own");
  std::string_view rest = url.substr(kScheme.size());
  const auto slash = rest.find('/');
  std::string_view authority = rest.substr(0, slash);
  Target target;
  if (slash != rest.npos) target.base = rest.substr(slash);
  while (target.base.ends_with('/')) target.base.pop_back();
  const auto colon = authority.rfind(':');
  const bool bracket_behind = colon != authority.npos && authority.find(']', colon) != authority.npos;
  if (colon != authority.npos && !bracket_behind) {
    const std::string_view port = authority.substr(colon + 1);
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), target.port);
    if (error != std::errc() || end != port.data() + port.size() || target.port == 0) return bad("its port is no number");
    authority = authority.substr(0, colon);
  }
  if (authority.starts_with('[') && authority.ends_with(']')) authority = authority.substr(1, authority.size() - 2);
  if (authority.empty() || authority.contains('@') || authority.contains('?')) return bad("write http://HOST:PORT");
  target.host = authority;
  return target;
}

net::Task<Result<std::string>> get_page(net::Loop& loop, Target target, std::string path, std::chrono::milliseconds timeout) {
  const std::string what = "asking " + target.text() + path.substr(0, path.find('?'));
  auto response = co_await exchange(loop, target, target.base + path, timeout);
  if (!response) co_return std::unexpected(std::move(response).error().during(what));
  if (response->status == 200) co_return std::move(response->body);
  std::string said = response->body.substr(0, 500);
  while (said.ends_with('\n')) said.pop_back();
  std::string text = std::format("{}: {} {}: {}", what, response->status, http::reason_phrase(response->status), said);
  if (response->status == 401) text += " (--token-file)";
  co_return failure(std::move(text));
}

Result<std::string> read_token(const std::string& file) {
  std::ifstream in(file);
  if (!in) return failure_errno("reading the token in " + file);
  std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.pop_back();
  for (const char c : text)
    if (c <= ' ' || c >= 0x7f) return failure(file + " holds no bearer token (one line of plain text)");
  if (text.empty()) return failure(file + " is empty");
  return text;
}

std::string percent_encoded(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
                       c == '_' || c == '~' || c == '/';
    if (plain) out += c;
    else out += std::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

}  // namespace culvert::cli
