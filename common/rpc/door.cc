#include "common/rpc/door.h"

#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/base/format.h"
#include "common/base/log.h"
#include "common/base/mutex.h"
#include "common/net/listener.h"
#include "common/net/loop.h"
#include "common/net/timer.h"

namespace culvert::rpc {
namespace {

constexpr std::string_view kScope = "rpc";
constexpr auto kTick = std::chrono::milliseconds(500);
constexpr auto kPause = std::chrono::milliseconds(100);  // in which we look once at what a proved one sends
constexpr auto kQuiet = std::chrono::seconds(10);
// While newcomers take the places of others: each costs a handshake, which is most of a millisecond for some core.
constexpr auto kCrowded = std::chrono::milliseconds(1);
// What the kernel holds for a connection that nobody reads from. Room for a gigabit over ten milliseconds.
constexpr int kReceiveBuffer = 512 << 10;
// For which a peer may leave unread what was sent: behind that even a ping waits, which else tells whether anybody is there.
constexpr int kUnread = 20'000;  // milliseconds

std::size_t received(int fd) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return 0;
  return info.tcpi_bytes_received;
}

// A machine without IPv6 has the same wildcard by another name.
Endpoint reachable(const Endpoint& at) {
  if (!at.address.is_v6() || !at.address.is_unspecified()) return at;
  const Fd probe(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return probe ? at : Endpoint{.address = IpAddress::v4(0), .port = at.port};
}

Gate::Limits affordable(Gate::Limits limits) {
  constexpr std::size_t kOthers = 256;  // descriptors that are no connections
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == RLIM_INFINITY) return limits;
  const std::size_t most = (std::max<std::size_t>(files.rlim_cur, 2 * kOthers) - kOthers) / 2;
  if (limits.connections <= most) return limits;
  log::warn(kScope, "fewer connections than are set: this process may not open as many files (raise its limit of open files)",
            {log::field("connections", most), log::field("set", limits.connections)});
  limits.connections = most;
  limits.unproved = std::min(limits.unproved, std::max<std::size_t>(1, most / 2));
  return limits;
}

}  // namespace

struct Door::State {
  State(const Gate::Limits& limits, Fd its_epoll)
      : epoll(its_epoll.get()), gate(limits), turnstile(limits), epoll_owner(std::move(its_epoll)) {}

  void live();
  struct Entrance {
    net::Listener listener;
    Take take;
  };
  static net::Task<> admit(State* self, std::shared_ptr<Entrance> entrance);
  static net::Task<> watch(State* self, std::shared_ptr<net::Descriptor> ready);
  bool come_in(const Endpoint& peer, Fd socket, const Take& take);
  void look(Gate::Id id, std::uint32_t events);
  void cut(Gate::Id id) CULVERT_REQUIRES(mutex);
  void let_go(Gate::Id id) CULVERT_REQUIRES(mutex);
  void look_less(Gate::Id id) CULVERT_REQUIRES(mutex);
  void look_again();
  void turn();
  void say();
  void complain(const std::string& what);
  void close();

  const int epoll;      // of duplicates
  mutable Mutex mutex;  // gRPC's threads, the server's loop and ours
  Gate gate CULVERT_GUARDED_BY(mutex);
  Turnstile turnstile CULVERT_GUARDED_BY(mutex);
  struct Held {
    Fd fd;
    bool proved = false;
  };
  std::unordered_map<Gate::Id, Held> held CULVERT_GUARDED_BY(mutex);
  Fd epoll_owner;              // from here on ours alone
  std::vector<Gate::Id> seen;  // of the proved ones, those that have sent something since we looked
  std::vector<std::shared_ptr<Entrance>> entrances;
  std::shared_ptr<net::Descriptor> ready;
  std::optional<net::Timer> tick, pause;
  std::uint64_t said = 0;  // refusals that have been logged
  net::Clock::time_point quiet_until{};
  net::Clock::time_point no_complaint_until{};
  // The first to go, with all that runs on it, which owns what it needs once close() has let go of that.
  net::LoopThread thread{"rpc-door"};
};

void Door::State::live() {
  for (const auto& entrance : entrances) thread.loop().spawn(admit(this, entrance));
  thread.loop().spawn(watch(this, ready));
  turn();
}

net::Task<> Door::State::admit(State* self, std::shared_ptr<Entrance> entrance) {
  while (!entrance->listener.closed()) {
    auto stream = co_await entrance->listener.accept();
    if (entrance->listener.closed()) co_return;
    if (!stream) {
      self->complain(stream.error().text);
      continue;
    }
    const Endpoint peer = stream->peer();
    if (self->come_in(peer, stream->release(), entrance->take)) co_await net::sleep_for(self->thread.loop(), kCrowded);
  }
}

// True: somebody else had to go.
bool Door::State::come_in(const Endpoint& peer, Fd socket, const Take& take) {
  Gate::Arrival arrival;
  {
    const Lock lock(mutex);
    arrival = gate.arrive(peer, net::Clock::now());
    if (arrival.out) cut(*arrival.out);
    if (!arrival.id) return false;
    Fd ours(::fcntl(socket.get(), F_DUPFD_CLOEXEC, 0));
    epoll_event event{.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data = {.u64 = *arrival.id}};
    if (!ours || ::epoll_ctl(epoll, EPOLL_CTL_ADD, ours.get(), &event) != 0) {
      complain(failure_errno("watching a connection").error().text);
      gate.leave(*arrival.id);
      return true;
    }
    held.emplace(*arrival.id, Held{.fd = std::move(ours)});
  }
  take(std::move(socket));
  return arrival.out.has_value();
}

net::Task<> Door::State::watch(State* self, std::shared_ptr<net::Descriptor> ready) {
  std::array<epoll_event, 64> events;
  while (co_await ready->readable()) {
    for (;;) {
      const int count = ::epoll_wait(self->epoll, events.data(), static_cast<int>(events.size()), 0);
      if (count <= 0) break;
      for (int i = 0; i < count; ++i)
        self->look(events[static_cast<std::size_t>(i)].data.u64, events[static_cast<std::size_t>(i)].events);
      co_await self->thread.loop().yield();
      if (!*ready) co_return;
    }
  }
}

void Door::State::look(Gate::Id id, std::uint32_t events) {
  const Lock lock(mutex);
  const auto found = held.find(id);
  if (found == held.end()) return;
  if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
    let_go(id);
    return gate.leave(id);
  }
  if (gate.sent(id, received(found->second.fd.get()))) return cut(id);
  if (!found->second.proved) return;
  seen.push_back(id);
  if (pause && !pause->armed()) pause->arm(kPause, [this] { look_again(); });
}

void Door::State::cut(Gate::Id id) {
  const auto found = held.find(id);
  if (found == held.end()) return;
  ::shutdown(found->second.fd.get(), SHUT_RDWR);
  // What has come already would still be read: thousands of calls.
  ::recv(found->second.fd.get(), nullptr, 4 * kReceiveBuffer, MSG_TRUNC | MSG_DONTWAIT);
  let_go(id);
}

void Door::State::let_go(Gate::Id id) {
  held.erase(id);
  turnstile.leave(id, net::Clock::now());
}

// It is proved: what it sends is looked at once, and again after a pause.
void Door::State::look_less(Gate::Id id) {
  const auto found = held.find(id);
  if (found == held.end()) return;
  found->second.proved = true;
  epoll_event event{.events = EPOLLIN | EPOLLONESHOT, .data = {.u64 = id}};
  ::epoll_ctl(epoll, EPOLL_CTL_MOD, found->second.fd.get(), &event);
}

void Door::State::look_again() {
  const Lock lock(mutex);
  for (const Gate::Id id : std::exchange(seen, {})) look_less(id);
}

void Door::State::turn() {
  {
    const Lock lock(mutex);
    for (const Gate::Id id : gate.silent(net::Clock::now())) cut(id);
    turnstile.sweep(net::Clock::now());
  }
  say();
  tick->arm(kTick, [this] { turn(); });
}

// A line for all that was turned away in ten seconds.
void Door::State::say() {
  std::uint64_t all = 0;
  std::string each;
  std::size_t unproved = 0;
  {
    const Lock lock(mutex);
    for (std::size_t i = 0; i < Gate::kReasons; ++i) {
      const auto reason = static_cast<Gate::Reason>(i);
      if (gate.turned_away(reason) != 0)
        each += culvert::format("{}{} {}", each.empty() ? "" : ", ", Gate::text(reason), gate.turned_away(reason));
      all += gate.turned_away(reason);
    }
    all += gate.refused_calls();
    unproved = gate.unproved();
  }
  const auto now = net::Clock::now();
  if (all == said || now < quiet_until) return;
  said = all;
  quiet_until = now + kQuiet;
  log::warn(kScope, "turned callers away (see culvert_connections_turned_away_total)",
            {log::field("connections", each), log::field("unproved_now", unproved)});
}

// Of this machine, which has no descriptors left: now and then.
void Door::State::complain(const std::string& what) {
  const auto now = net::Clock::now();
  if (now < no_complaint_until) return;
  no_complaint_until = now + kQuiet;
  log::error(kScope, what);
}

void Door::State::close() {
  thread.call([this] {
    pause.reset();
    for (const auto& entrance : std::exchange(entrances, {})) entrance->listener.close();
    if (const auto last = std::exchange(ready, nullptr)) last->close();
    tick.reset();
  });
}

Door::Door(std::unique_ptr<State> state) : state_(std::move(state)) {}

Door::~Door() { close(); }

Result<std::unique_ptr<Door>> Door::open(Gate::Limits limits) {
  Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return failure_errno("making an epoll");
  Fd ours(::fcntl(epoll.get(), F_DUPFD_CLOEXEC, 0));
  if (!ours) return failure_errno("copying an epoll");
  auto state = std::make_unique<State>(affordable(limits), std::move(ours));
  Status done;
  state->thread.call([&] {
    auto ready = net::Descriptor::adopt(state->thread.loop(), std::move(epoll));
    if (!ready) return void(done = std::unexpected(std::move(ready).error()));
    state->ready = std::make_shared<net::Descriptor>(std::move(*ready));
    state->tick.emplace(state->thread.loop());
    state->pause.emplace(state->thread.loop());
  });
  if (!done) return std::unexpected(std::move(done).error());
  return std::unique_ptr<Door>(new Door(std::move(state)));
}

Result<std::uint16_t> Door::listen(const Endpoint& at, Take take) {
  Result<std::uint16_t> port = 0;
  state_->thread.call([&] {
    auto listener = net::Listener::open(state_->thread.loop(), {.at = reachable(at)});
    if (!listener) return void(port = std::unexpected(std::move(listener).error()));
    ::setsockopt(listener->fd(), SOL_SOCKET, SO_RCVBUF, &kReceiveBuffer, sizeof kReceiveBuffer);  // inherited
    ::setsockopt(listener->fd(), IPPROTO_TCP, TCP_USER_TIMEOUT, &kUnread, sizeof kUnread);        // as well
    port = listener->local().port;
    state_->entrances.push_back(std::make_shared<State::Entrance>(State::Entrance{std::move(*listener), std::move(take)}));
  });
  return port;
}

void Door::begin() {
  state_->thread.call([this] { state_->live(); });
}

void Door::close() { state_->close(); }

bool Door::read_call(Turnstile::Number& number) {
  const Lock lock(state_->mutex);
  if (number == 0) number = state_->turnstile.open(net::Clock::now());
  const auto verdict = state_->turnstile.read(number);
  if (verdict == Turnstile::Verdict::kPass) return true;
  state_->gate.count_refused();
  if (const auto id = state_->turnstile.whose(number); id && verdict == Turnstile::Verdict::kEnd) {
    state_->gate.refuse(*id);
    state_->cut(*id);
  }
  return false;
}

void Door::done_with(Turnstile::Number number) {
  const Lock lock(state_->mutex);
  state_->turnstile.done(number);
}

std::optional<Gate::Ticket> Door::begin_call(const Endpoint& peer, Turnstile::Number number) {
  const Lock lock(state_->mutex);
  const auto id = state_->gate.find(peer);
  if (state_->turnstile.begun(number, id)) {
    state_->gate.refuse(*id);
    state_->cut(*id);
  }
  const auto begun = state_->gate.begin_call(peer);
  if (begun) return *begun;
  if (const auto out = begun.error().out) state_->cut(*out);
  return std::nullopt;
}

std::vector<Gate::Call> Door::prove(Gate::Ticket& ticket, const std::string& caller) {
  const Lock lock(state_->mutex);
  if (!ticket.unproved) return {};
  Gate::Turn turn = state_->gate.prove(ticket, caller);
  state_->turnstile.prove(ticket.id);
  state_->look_less(ticket.id);
  if (turn.out) state_->cut(*turn.out);
  return std::move(turn.go_on);
}

void Door::moved(const Gate::Ticket& ticket) {
  const Lock lock(state_->mutex);
  state_->gate.moved(ticket);
}

std::vector<Gate::Call> Door::end_call(const Gate::Ticket& ticket) {
  const Lock lock(state_->mutex);
  Gate::Turn turn = state_->gate.end_call(ticket);
  if (turn.out) state_->cut(*turn.out);
  return std::move(turn.go_on);
}

Door::Figures Door::figures() const {
  const Lock lock(state_->mutex);
  Figures out{.proved = state_->gate.size() - state_->gate.unproved(), .unproved = state_->gate.unproved()};
  for (std::size_t i = 0; i < Gate::kReasons; ++i) out.turned_away[i] = state_->gate.turned_away(static_cast<Gate::Reason>(i));
  out.refused_calls = state_->gate.refused_calls();
  return out;
}

}  // namespace culvert::rpc
