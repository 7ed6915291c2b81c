#include "common/admin/server.h"

#include <algorithm>
#include <list>
#include <vector>

#include "common/base/format.h"
#include "common/base/log.h"
#include "common/http/http1.h"
#include "common/net/timer.h"

namespace culvert::admin {
namespace {

constexpr std::size_t kMostConnections = 64;          // of one port: whoever holds many on one takes nothing from the others
constexpr auto kIdle = std::chrono::seconds(60);      // between requests
constexpr auto kPatience = std::chrono::seconds(15);  // within a request or a response

struct Page {
  Port port;
  std::string method, path, what;
  Server::AsyncHandler handler;
};

struct Guarded {
  std::string prefix;
  Port too;
  Server::Guard guard;
};

struct Visitor {
  Port port;
  net::Stream* stream;
  bool answering = false;                            // else we wait for the visitor
  net::Clock::time_point since = net::Clock::now();  // of that
  bool gone = false;
};

// "localhost", or an address: not a name that somebody else's DNS answers for.
bool names_this_machine(std::string_view host) {
  if (http::equal_ignoring_case(host.substr(0, host.rfind(':')), "localhost")) return true;
  if (Endpoint::parse(host)) return true;
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  return IpAddress::parse(host).has_value();
}

}  // namespace

struct Server::State : std::enable_shared_from_this<State> {
  State(net::Loop& its_loop, std::string its_program) : loop(its_loop), program(std::move(its_program)) {}

  net::Task<> accept_all(Port port, net::Listener& listener);
  bool make_room(Port port);
  net::Task<> serve(Port port, net::Stream stream);
  net::Task<bool> exchange(Visitor& visitor, http::RequestReader& reader, std::vector<std::byte>& rest);
  net::Task<http::Response> answer(Port port, http::Request request, Endpoint peer);
  const Guarded* guard_of(const Page& page) const;
  http::Response index(Port port) const;

  net::Loop& loop;
  std::string program;
  std::vector<Page> pages;
  std::vector<Guarded> guards;
  std::list<net::Listener> listeners;
  std::list<Visitor> visitors;
  bool closed = false;
};

Server::Server(net::Loop& loop, std::string program) : state_(std::make_shared<State>(loop, std::move(program))) {}

Server::~Server() {
  state_->closed = true;
  for (net::Listener& listener : state_->listeners) listener.close();
  for (const Visitor& visitor : state_->visitors) visitor.stream->close();
}

void Server::on(Port port, std::string method, std::string path, std::string what, Handler handler) {
  on_async(port, std::move(method), std::move(path), std::move(what),
           [handler = std::move(handler)](http::Request request) -> net::Task<http::Response> {
             return [](Handler call, http::Request r) -> net::Task<http::Response> { co_return call(r); }(handler,
                                                                                                          std::move(request));
           });
}

void Server::on_async(Port port, std::string method, std::string path, std::string what, AsyncHandler handler) {
  state_->pages.push_back({port, std::move(method), std::move(path), std::move(what), std::move(handler)});
}

void Server::guard(std::string prefix, Port too, Guard guard) {
  state_->guards.push_back({std::move(prefix), too, std::move(guard)});
}

Result<Endpoint> Server::listen(Port port, const net::ListenOptions& options) {
  auto listener = net::Listener::open(state_->loop, options);
  if (!listener) return std::unexpected(listener.error());
  net::Listener& kept = state_->listeners.emplace_back(std::move(*listener));
  state_->loop.spawn([](std::shared_ptr<State> state, Port its_port, net::Listener& its_listener) -> net::Task<> {
    co_await state->accept_all(its_port, its_listener);
  }(state_, port, kept));
  return kept.local();
}

net::Task<> Server::State::accept_all(Port port, net::Listener& listener) {
  while (!listener.closed()) {
    auto stream = co_await listener.accept();
    if (closed) co_return;
    if (!stream) {
      log::warn("admin", stream.error().text);
    } else if (make_room(port)) {
      loop.spawn([](std::shared_ptr<State> state, Port its_port, net::Stream its_stream) -> net::Task<> {
        co_await state->serve(its_port, std::move(its_stream));
      }(shared_from_this(), port, std::move(*stream)));
    }  // else closed at once
  }
}

// A port that is full lets go of whoever has kept us waiting longest: a probe gets in however many others do nothing. False when all are
// being answered.
bool Server::State::make_room(Port port) {
  std::size_t count = 0;
  Visitor* longest = nullptr;
  for (Visitor& visitor : visitors) {
    if (visitor.port != port || visitor.gone) continue;
    ++count;
    if (!visitor.answering && (longest == nullptr || visitor.since < longest->since)) longest = &visitor;
  }
  if (count < kMostConnections) return true;
  if (longest == nullptr) return false;
  longest->gone = true;
  longest->stream->close();
  return true;
}

net::Task<> Server::State::serve(Port port, net::Stream stream) {
  const auto place = visitors.insert(visitors.end(), Visitor{.port = port, .stream = &stream});
  http::RequestReader reader;
  std::vector<std::byte> rest;
  while (!closed && co_await exchange(*place, reader, rest)) {}
  visitors.erase(place);
}

// One request and its answer. `rest` are bytes that came behind the request. False when the connection is done.
net::Task<bool> Server::State::exchange(Visitor& visitor, http::RequestReader& reader, std::vector<std::byte>& rest) {
  net::Stream& stream = *visitor.stream;
  visitor.answering = false;
  visitor.since = net::Clock::now();
  net::Timer timer(loop);
  timer.arm(kIdle, [&stream] { stream.close(); });
  bool good = true;
  while (good && !reader.complete()) {
    if (rest.empty()) {
      const auto scratch = loop.scratch();
      const net::Io io = co_await stream.read(scratch);
      if (!io.ok()) co_return false;
      rest.assign(scratch.begin(), scratch.begin() + static_cast<std::ptrdiff_t>(io.bytes));
    }
    const auto taken = reader.feed(rest);
    good = taken.has_value();
    rest.erase(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(taken.value_or(rest.size())));
    if (reader.begun() && !reader.complete()) timer.arm(kPatience, [&stream] { stream.close(); });
  }

  visitor.answering = true;
  std::string wire;
  bool keep = false;
  if (good) {
    http::Request request = reader.take();
    keep = reader.keep_alive();
    const bool head = request.method == "HEAD";
    const http::Response response = co_await answer(visitor.port, std::move(request), stream.peer());
    wire = http::to_wire(response, keep, head);
  } else {
    wire =
        http::to_wire(http::text_response(reader.status(), culvert::format("{}\n", http::reason_phrase(reader.status()))), false);
  }
  timer.arm(kPatience, [&stream] { stream.close(); });
  const net::Io written = co_await stream.write_all(std::as_bytes(std::span(wire)));
  if (!keep) stream.shutdown_write();
  co_return keep&& written.ok();
}

const Guarded* Server::State::guard_of(const Page& page) const {
  const auto found = std::ranges::find_if(guards, [&](const Guarded& one) { return page.path.starts_with(one.prefix); });
  return found == guards.end() ? nullptr : &*found;
}

net::Task<http::Response> Server::State::answer(Port port, http::Request request, Endpoint peer) {
  if (port == Port::kAdmin && !names_this_machine(request.headers.get("host").value_or("localhost")))
    co_return http::text_response(403, "the Host must be localhost or an address\n");
  const std::string_view method = request.method == "HEAD" ? "GET" : std::string_view(request.method);
  // A page of another site that is open in a browser here may send us a POST; it cannot hide where it comes from.
  if (method != "GET" && request.headers.get("origin")) co_return http::text_response(403, "not from a browser\n");
  if (closed) co_return http::text_response(503, "shutting down\n");

  std::string allowed;
  for (const Page& page : pages) {
    const Guarded* guarded = page.path == request.path() ? guard_of(page) : nullptr;
    const bool shown = port == Port::kAdmin || page.port == port || (guarded != nullptr && guarded->too == port);
    if (page.path != request.path() || !shown) continue;
    if (page.method == method && guarded != nullptr) {
      if (peer.address.is_loopback() && !request.headers.get("authorization") &&
          !names_this_machine(request.headers.get("host").value_or("localhost")))
        co_return http::text_response(403, "the Host must be localhost or an address\n");
      if (auto refused = co_await guarded->guard(request, peer)) co_return std::move(*refused);
    }
    if (page.method == method) co_return co_await page.handler(std::move(request));
    allowed.append(allowed.empty() ? "" : ", ").append(page.method);
  }
  if (request.path() == "/" && method == "GET") co_return index(port);
  if (allowed.empty()) co_return http::text_response(404, "not found\n");
  http::Response response = http::text_response(405, "use " + allowed + "\n");
  response.headers.add("Allow", allowed);
  co_return response;
}

http::Response Server::State::index(Port port) const {
  std::string html = culvert::format("<!DOCTYPE html><html><head><title>{0}</title></head><body><h1>{0}</h1><table>", program);
  for (const Page& page : pages) {
    if (port != Port::kAdmin && page.port != port) continue;
    const std::string link = page.method == "GET" ? culvert::format("<a href=\"{0}\">{0}</a>", page.path) : page.path;
    html += culvert::format("<tr><td>{}</td><td>{}</td><td>{}</td></tr>", page.method, link, page.what);
  }
  return http::html_response(html + "</table></body></html>\n");
}

}  // namespace culvert::admin
