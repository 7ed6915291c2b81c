#include "cli/ask/page.h"

#include <charconv>
#include <fstream>
#include <iostream>
#include <iterator>
#include <span>
#include <utility>

#include "common/base/format.h"
#include "common/http/http1.h"
#include "common/kube/portforward.h"
#include "common/net/dial.h"
#include "common/net/resolve.h"
#include "common/net/timer.h"

namespace culvert::cli {
namespace {

constexpr std::size_t kMostOfPage = 512 << 20;  // a dump of a large mesh

std::string authority_of(const Target& target) {
  const bool v6 = target.host.contains(':');
  return culvert::format("{}{}{}:{}", v6 ? "[" : "", target.host, v6 ? "]" : "", target.port);
}

// A way to the program that is asked.
class Way {
 public:
  Way() = default;
  Way(const Way&) = delete;
  virtual ~Way() = default;
  virtual net::Task<Status> write(std::string_view bytes) = 0;
  // Some bytes; none at the end.
  virtual net::Task<Result<std::string>> read() = 0;
  virtual void close() = 0;  // wakes who reads or writes
};

class Socket final : public Way {
 public:
  explicit Socket(net::Stream stream) : stream_(std::move(stream)) {}
  net::Task<Status> write(std::string_view bytes) override {
    if (!(co_await stream_.write_all(std::as_bytes(std::span(bytes)))).ok()) co_return failure("the connection broke");
    co_return Status();
  }
  net::Task<Result<std::string>> read() override {
    const auto scratch = stream_.loop().scratch();
    const net::Io io = co_await stream_.read(scratch);
    if (io.ok()) co_return std::string(reinterpret_cast<const char*>(scratch.data()), io.bytes);
    if (io.state == net::Io::kEof) co_return std::string();
    co_return failure("the connection broke");
  }
  void close() override { stream_.close(); }

 private:
  net::Stream stream_;
};

class Forwarded final : public Way {
 public:
  explicit Forwarded(kube::PortForward port) : port_(std::move(port)) {}
  net::Task<Status> write(std::string_view bytes) override { co_return co_await port_.write(bytes); }
  net::Task<Result<std::string>> read() override { co_return co_await port_.read(); }
  void close() override { port_.close(); }

 private:
  kube::PortForward port_;
};

net::Task<Result<std::unique_ptr<Way>>> open_way(net::Loop& loop, const Target& target, std::chrono::milliseconds timeout) {
  if (target.cluster) {
    auto port = co_await kube::PortForward::open(*target.cluster, target.pod, target.port, timeout);
    if (!port) co_return std::unexpected(std::move(port).error());
    co_return std::make_unique<Forwarded>(std::move(*port));
  }
  const auto addresses = co_await net::resolve(loop, target.host, timeout);
  if (!addresses) co_return std::unexpected(addresses.error());
  net::DialOptions options{.to = {addresses->front(), target.port, 0}, .timeout = timeout};
  if (target.netns) options.netns = target.netns->get();
  auto stream = co_await net::dial(loop, std::move(options));
  if (!stream) co_return std::unexpected(std::move(stream).error());
  co_return std::make_unique<Socket>(std::move(*stream));
}

net::Task<Result<http::Response>> exchange(net::Loop& loop, const Target& target, const std::string& method,
                                           const std::string& path, std::chrono::milliseconds timeout) {
  auto way = co_await open_way(loop, target, timeout);
  if (!way) co_return std::unexpected(std::move(way).error());
  net::Timer timer(loop);
  timer.arm(timeout, [&way] { (*way)->close(); });
  http::Request request{.method = method, .target = path};
  request.headers.add("Connection", "close");
  if (!target.token.empty()) request.headers.add("Authorization", "Bearer " + target.token);
  const std::string host = target.cluster ? culvert::format("localhost:{}", target.port) : authority_of(target);
  const std::string wire = http::to_wire(request, host);
  if (auto sent = co_await (*way)->write(wire); !sent) co_return std::unexpected(std::move(sent).error());
  http::ResponseReader reader({.body = kMostOfPage});
  reader.expect(method);
  while (!reader.complete()) {
    const auto piece = co_await (*way)->read();
    if (!timer.armed()) co_return failure("no answer in time");
    if (!piece) co_return std::unexpected(piece.error());
    if (piece->empty()) {
      if (const Status done = reader.finish(); !done || !reader.complete())
        co_return failure("the connection ended before the answer");
      break;
    }
    if (const auto fed = reader.feed(std::as_bytes(std::span(*piece))); !fed) co_return std::unexpected(fed.error());
  }
  co_return reader.take();
}

}  // namespace

std::string Target::text() const {
  return cluster ? culvert::format("pod {}:{}", pod.text(), port) : "http://" + authority_of(*this) + base;
}

Result<Target> Target::parse(std::string_view url) {
  constexpr std::string_view kScheme = "http://";
  const auto bad = [&](std::string_view why) { return failure(culvert::format("\"{}\" is no address to ask ({})", url, why)); };
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

net::Task<Result<std::string>> ask_page(net::Loop& loop, Target target, std::string method, std::string path,
                                        std::chrono::milliseconds timeout) {
  const std::string what = "asking " + target.text() + path.substr(0, path.find('?'));
  auto response = co_await exchange(loop, target, method, target.base + path, timeout);
  if (!response) co_return std::unexpected(std::move(response).error().during(what));
  if (response->status == 200) co_return std::move(response->body);
  std::string said = response->body.substr(0, 500);
  while (said.ends_with('\n')) said.pop_back();
  std::string text = culvert::format("{}: {} {}: {}", what, response->status, http::reason_phrase(response->status), said);
  if (response->status == 401) text += " (--token-file)";
  co_return failure(std::move(text));
}

net::Task<Result<std::string>> get_page(net::Loop& loop, Target target, std::string path, std::chrono::milliseconds timeout) {
  return ask_page(loop, std::move(target), "GET", std::move(path), timeout);
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

Result<std::string> read_input(const std::string& file) {
  std::ifstream opened;
  if (file != "-") opened.open(file, std::ios::binary);
  if (file != "-" && !opened) return failure_errno("reading " + file);
  std::istream& in = file == "-" ? std::cin : opened;
  std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  if (in.bad()) return failure_errno("reading " + file);
  return text;
}

std::string percent_encoded(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
                       c == '_' || c == '~' || c == '/';
    if (plain) out += c;
    else out += culvert::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

}  // namespace culvert::cli
