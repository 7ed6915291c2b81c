#include "common/rpc/server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "common/base/fd.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/secrets.h"
#include "common/net/listener.h"
#include "common/net/timer.h"
#include "common/rpc/connection.h"

namespace culvert::rpc {
namespace {

constexpr auto kTick = std::chrono::milliseconds(200);
constexpr auto kReadAgain = std::chrono::seconds(1);  // what it was signed with may be trusted no more soon
// While newcomers take the places of others: each costs a handshake, which is most of a millisecond for some core.
constexpr auto kCrowded = std::chrono::milliseconds(1);
// What the kernel holds for a connection that nobody reads from. Room for a gigabit over ten milliseconds.
constexpr int kReceiveBuffer = 512 << 10;
// For which a peer may leave unread what was sent: behind that even a ping waits, which else tells whether anybody is there.
constexpr int kUnread = 20'000;  // milliseconds

// A machine without IPv6 has the same wildcard by another name.
Endpoint reachable(const Endpoint& at) {
  if (!at.address.is_v6() || !at.address.is_unspecified()) return at;
  const Fd probe(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return probe ? at : Endpoint{.address = IpAddress::v4(0), .port = at.port};
}

// The certificate's files, as they were when they were good last.
struct Identity {
  std::string chain, key;
  ~Identity() { wipe(key); }

  // What they say now, if that is something else and good.
  Result<std::optional<tls::KeyPair>> changed(const ServerOptions& options) {
    auto its_chain = read_file(options.certificate_file);
    if (!its_chain) return std::unexpected(std::move(its_chain).error());
    auto its_key = read_file(options.key_file);
    if (!its_key) return std::unexpected(std::move(its_key).error());
    std::optional<tls::KeyPair> out;
    if (chain != *its_chain || key != *its_key) {
      auto pair = tls::KeyPair::parse(*its_chain, *its_key);
      if (!pair) {
        wipe(*its_key);
        return std::unexpected(std::move(pair).error().during("reading " + options.certificate_file));
      }
      out = std::move(*pair);
      chain = *its_chain;
      key.swap(*its_key);
    }
    wipe(*its_key);
    return out;
  }
};

// A thread and the connections that live on it.
struct Line {
  explicit Line(House& its_house) : house(its_house) {}
  // Anything that its loop owns goes with the thread, before what that needs.
  ~Line() { thread.reset(); }
  net::Loop& loop() { return thread->loop(); }
  void take(net::Stream socket, Gate::Id id, bool plaintext);
  void turn();
  void close();

  House& house;
  std::optional<tls::Context> context;
  std::unordered_map<Gate::Id, std::shared_ptr<Connection>> connections;
  std::optional<net::Timer> tick;
  std::unique_ptr<net::LoopThread> thread = std::make_unique<net::LoopThread>("rpc");
  const Door::Cut cut = [this](Gate::Id id) {
    loop().post([this, id] {
      if (const auto found = connections.find(id); found != connections.end()) found->second->cut();
    });
  };
};

void Line::take(net::Stream socket, Gate::Id id, bool plaintext) {
  if (!house.door.knows(id)) return house.door.leave(id);  // it had to go on its way here
  auto ended = [this](Gate::Id its) { connections.erase(its); };
  const auto made =
      std::make_shared<Connection>(house, std::move(socket), plaintext ? std::nullopt : context, id, std::move(ended));
  connections.emplace(id, made);
  made->start();
}

void Line::turn() {
  const auto now = net::Clock::now();
  std::vector<std::shared_ptr<Connection>> all;
  all.reserve(connections.size());
  for (const auto& [id, connection] : connections) all.push_back(connection);
  for (const auto& connection : all) connection->look(now);
  tick->arm(kTick, [this] { turn(); });
}

void Line::close() {
  tick.reset();
  for (const auto& [id, connection] : connections) connection->shut();
  connections.clear();
}

}  // namespace

struct CallServer::State {
  struct Entrance {
    net::Listener listener;
    bool plaintext = false;
  };

  State(const ServerOptions& options, std::shared_ptr<Hearing> its_hearing) : house(options, std::move(its_hearing)) {}
  ~State();
  Status begin();
  Result<std::uint16_t> listen(const std::string& address, bool plaintext);
  Status use(const tls::KeyPair& pair);
  static net::Task<> admit(State* self, std::shared_ptr<Entrance> entrance);
  void turn();
  void read_certificate_again();
  Line& first() { return *lines.front(); }

  House house;
  std::vector<std::unique_ptr<Line>> lines;
  // Of the first line's loop.
  std::vector<std::shared_ptr<Entrance>> entrances;
  std::optional<net::Timer> tick;
  Identity identity;
  std::string complained;  // of the certificate's files
  net::Clock::time_point read_at{};
  std::size_t next = 0;
  std::uint16_t port = 0;
  std::uint16_t plaintext_port = 0;
};

Status CallServer::State::begin() {
  auto pair = identity.changed(house.options);
  if (!pair) return std::unexpected(std::move(pair).error().during("starting the gRPC server"));
  const std::size_t threads = std::clamp<std::size_t>(std::thread::hardware_concurrency() / 2, 1, 8);
  for (std::size_t i = 0; i < threads; ++i) lines.push_back(std::make_unique<Line>(house));
  if (auto used = use(**pair); !used) return used;
  auto at = listen(house.options.address, false);
  if (!at) return std::unexpected(std::move(at).error());
  port = *at;
  if (!house.options.plaintext_address.empty()) {
    at = listen(house.options.plaintext_address, true);
    if (!at) return std::unexpected(std::move(at).error());
    plaintext_port = *at;
  }
  for (const auto& line : lines) line->thread->call([&line] { line->tick.emplace(line->loop()), line->turn(); });
  first().thread->call([this] {
    tick.emplace(first().loop());
    turn();
    for (const auto& entrance : entrances) first().loop().spawn(admit(this, entrance));
  });
  return {};
}

// Each thread has a context of its own, because OpenSSL locks what is shared.
Status CallServer::State::use(const tls::KeyPair& pair) {
  std::vector<tls::Context> contexts;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    auto context = tls::Context::asking_server(pair, {"h2"});
    if (!context) return std::unexpected(std::move(context).error());
    contexts.push_back(std::move(*context));
  }
  for (std::size_t i = 0; i < lines.size(); ++i)
    lines[i]->loop().post(
        [line = lines[i].get(), context = std::move(contexts[i])]() mutable { line->context = std::move(context); });
  return {};
}

Result<std::uint16_t> CallServer::State::listen(const std::string& address, bool plaintext) {
  const auto at = Endpoint::parse(address);
  if (!at) return std::unexpected(Error(at.error()).during("reading the address to listen on"));
  Result<std::uint16_t> out = 0;
  first().thread->call([&] {
    auto listener = net::Listener::open(first().loop(), {.at = reachable(*at)});
    if (!listener) return void(out = std::unexpected(std::move(listener).error()));
    ::setsockopt(listener->fd(), SOL_SOCKET, SO_RCVBUF, &kReceiveBuffer, sizeof kReceiveBuffer);  // inherited
    ::setsockopt(listener->fd(), IPPROTO_TCP, TCP_USER_TIMEOUT, &kUnread, sizeof kUnread);        // as well
    out = listener->local().port;
    entrances.push_back(std::make_shared<Entrance>(Entrance{std::move(*listener), plaintext}));
  });
  return out;
}

net::Task<> CallServer::State::admit(State* self, std::shared_ptr<Entrance> entrance) {
  while (!entrance->listener.closed()) {
    auto socket = co_await entrance->listener.accept();
    if (entrance->listener.closed()) co_return;
    if (!socket) {
      self->house.door.complain(socket.error().text);
      continue;
    }
    Line& line = *self->lines[self->next++ % self->lines.size()];
    const auto arrival = self->house.door.arrive(socket->peer(), line.cut);
    if (arrival.id)
      line.loop().post([&line, id = *arrival.id, plaintext = entrance->plaintext, fd = socket->release()]() mutable {
        auto taken = net::Stream::adopt(line.loop(), std::move(fd));
        if (taken) line.take(std::move(*taken), id, plaintext);
        else line.house.door.leave(id);
      });
    if (arrival.crowded) co_await net::sleep_for(self->first().loop(), kCrowded);
  }
}

void CallServer::State::turn() {
  house.door.look();
  if (const auto now = net::Clock::now(); now - read_at >= kReadAgain) {
    read_at = now;
    read_certificate_again();
  }
  tick->arm(kTick, [this] { turn(); });
}

// What is half written is good a moment later; the last good one stays until then.
void CallServer::State::read_certificate_again() {
  auto pair = identity.changed(house.options);
  Status used;
  if (!pair) used = std::unexpected(std::move(pair).error());
  else if (*pair) used = use(**pair);
  const std::string why = used ? "" : used.error().text;
  if (std::exchange(complained, why) != why && !why.empty())
    log::warn("rpc", "the server's certificate cannot be read again, and stays as it was: " + why);
}

CallServer::State::~State() {
  if (lines.empty()) return;
  first().thread->call([this] {
    for (const auto& entrance : std::exchange(entrances, {})) entrance->listener.close();
    tick.reset();
  });
  for (const auto& line : lines) line->thread->call([&line] { line->close(); });
  house.door.close();
  house.budget->close();
  for (const auto& line : lines) line->thread.reset();  // none posts to another any more but the first
}

CallServer::CallServer(std::unique_ptr<State> state) : state_(std::move(state)) {}

CallServer::~CallServer() {
  const auto hearing = state_->house.hearing;
  hearing->closed = true;
  for (const auto& [call, weak] : std::exchange(hearing->live, {}))
    if (const auto live = weak.lock()) live->detach();
}

Result<std::unique_ptr<CallServer>> CallServer::start(net::Loop& loop, const ServerOptions& options, Handler handler) {
  auto hearing = std::make_shared<Hearing>(Hearing{.loop = loop, .handler = std::move(handler)});
  auto state = std::make_unique<State>(options, std::move(hearing));
  if (auto begun = state->begin(); !begun) return std::unexpected(std::move(begun).error());
  return std::unique_ptr<CallServer>(new CallServer(std::move(state)));
}

std::uint16_t CallServer::port() const { return state_->port; }

std::uint16_t CallServer::plaintext_port() const { return state_->plaintext_port; }

std::size_t CallServer::calls() const { return state_->house.calls; }

Door::Figures CallServer::figures() const { return state_->house.door.figures(); }

}  // namespace culvert::rpc
