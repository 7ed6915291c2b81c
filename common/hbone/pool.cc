#include "common/hbone/pool.h"

#include <algorithm>
#include <format>
#include <list>
#include <map>

#include "common/hbone/tunnel_life.h"

namespace culvert::hbone {
namespace {

// One try to connect, shared by everybody who waits for it.
struct Attempt {
  explicit Attempt(net::Loop& loop) : done(loop) {}
  net::Event done;
  Status outcome;
  std::shared_ptr<Tunnel> tunnel;
};

struct Member {
  Member(net::Loop& loop, std::shared_ptr<Tunnel> of) : tunnel(std::move(of)), idle(loop) {}
  std::shared_ptr<Tunnel> tunnel;
  net::Timer idle;  // runs on while streams come and go, and looks when it passes
  net::Clock::time_point idle_since{};
};

struct Entry {
  std::vector<std::unique_ptr<Member>> members;
  std::shared_ptr<Attempt> attempt;
  std::optional<Reason> closed;  // close_if() came while a connect was under way
};

// A CONNECT that waits for its answer.
struct Question {
  net::Clock::time_point until;
  std::shared_ptr<StreamState> stream;
};
using Questions = std::list<Question>;  // all have the same patience: the first to come is the first to be late

// What became of it; called once it is answered or over.
Status outcome(const StreamState& stream) {
  if (!stream.answered) return failure(stream.text, stream.reason);
  if (stream.response.status == 200) return {};
  return failure(std::format("the far end answered with status {}", stream.response.status), Reason::kHttpStatus);
}

}  // namespace

struct Pool::State : std::enable_shared_from_this<Pool::State> {
  State(net::Loop& of, PoolOptions with, Dialler by) : loop(of), options(std::move(with)), dialler(std::move(by)) {}

  std::shared_ptr<Tunnel> pick(const PoolKey& key, const Tunnel* except) const;
  net::Task<Result<std::shared_ptr<Tunnel>>> acquire(PoolKey key, std::shared_ptr<Tunnel> except);
  static net::Task<> connect(std::shared_ptr<State> self, PoolKey key, std::shared_ptr<Attempt> attempt);
  static net::Task<> pull(std::shared_ptr<State> self, PoolKey key, std::shared_ptr<Attempt> attempt, DialPlan plan);
  void keep(const PoolKey& key, std::shared_ptr<Tunnel> tunnel);
  void on_change(const PoolKey& key, Tunnel* tunnel);
  void drop(const PoolKey& key, const Tunnel* tunnel);
  void watch_idle(Member& member);
  static net::Task<> answered(std::shared_ptr<State> self, std::shared_ptr<StreamState> stream);
  void give_up_late();

  net::Loop& loop;
  const PoolOptions options;
  const Dialler dialler;
  std::map<PoolKey, Entry> entries;
  PoolCounts counts;
  Questions questions;
  net::Timer late{loop};  // for the first of them; armed anew only when it has passed, so that an answer costs no timer
};

// The fullest tunnel with room, so that surplus ones run empty.
std::shared_ptr<Tunnel> Pool::State::pick(const PoolKey& key, const Tunnel* except) const {
  const auto found = entries.find(key);
  if (found == entries.end()) return nullptr;
  std::shared_ptr<Tunnel> best;
  for (const auto& member : found->second.members) {
    const auto& tunnel = member->tunnel;
    if (tunnel.get() == except || tunnel->open_room() == 0) continue;
    if (!best || tunnel->stream_count() > best->stream_count()) best = tunnel;
  }
  return best;
}

// A tunnel with room, not `except`. The caller opens its stream before anybody else runs.
net::Task<Result<std::shared_ptr<Tunnel>>> Pool::State::acquire(PoolKey key, std::shared_ptr<Tunnel> except) {
  const auto self = shared_from_this();
  while (true) {
    if (auto tunnel = pick(key, except.get())) co_return tunnel;
    Entry& entry = entries[key];
    auto attempt = entry.attempt;
    if (!attempt) {
      entry.attempt = attempt = std::make_shared<Attempt>(loop);
      loop.spawn(connect(self, key, attempt));
    }
    co_await attempt->done.wait();
    if (!attempt->outcome) co_return std::unexpected(attempt->outcome.error());
  }
}

net::Task<> Pool::State::connect(std::shared_ptr<State> self, PoolKey key, std::shared_ptr<Attempt> attempt) {
  ++self->counts.connects;
  if (auto plan = self->dialler(key)) {
    plan->dial.timeout = self->options.connect_timeout;
    if (!plan->dial.keepalive) plan->dial.keepalive = net::Keepalive{};
    co_await pull(self, key, attempt, *std::move(plan));
  } else {
    attempt->outcome = std::unexpected(std::move(plan.error()));
  }
  Entry& entry = self->entries[key];
  entry.attempt = nullptr;
  if (entry.closed && attempt->outcome) {
    attempt->tunnel->close(*entry.closed, "closed while connecting");
    attempt->outcome = failure("closed while connecting", *entry.closed);
  }
  entry.closed.reset();
  if (attempt->outcome) {
    self->keep(key, attempt->tunnel);
  } else {
    ++self->counts.failed;
    if (entry.members.empty()) self->entries.erase(key);
  }
  attempt->done.set();
}

// TCP and TLS.
net::Task<> Pool::State::pull(std::shared_ptr<State> self, PoolKey key, std::shared_ptr<Attempt> attempt, DialPlan plan) {
  const bool hbone_port = key.to.port == 15008;
  auto socket = co_await net::dial(self->loop, std::move(plan.dial));
  if (!socket) {
    Error error = std::move(socket.error());
    if (hbone_port && error.reason == Reason::kConnectTimeout) {
      error.reason = Reason::kNetworkPolicy;
      error.text += " (is a NetworkPolicy blocking port 15008?)";
    }
    attempt->outcome = std::unexpected(std::move(error));
    co_return;
  }
  auto tunnel = std::make_shared<Tunnel>(self->loop, *std::move(socket), plan.tls.mesh_client(key.expect), Engine::Role::kClient,
                                         self->options.tunnel);
  attempt->outcome = co_await tunnel->shake_hands();
  if (attempt->outcome) attempt->tunnel = std::move(tunnel);
}

void Pool::State::keep(const PoolKey& key, std::shared_ptr<Tunnel> tunnel) {
  tunnel->on_change([weak = weak_from_this(), key, raw = tunnel.get()] {
    if (const auto self = weak.lock()) self->on_change(key, raw);
  });
  Member& member = *entries[key].members.emplace_back(std::make_unique<Member>(loop, tunnel));
  member.idle_since = net::Clock::now();
  watch_idle(member);
  tunnel->start();
}

void Pool::State::on_change(const PoolKey& key, Tunnel* tunnel) {
  const auto found = entries.find(key);
  if (found == entries.end()) return;
  if (tunnel->draining()) return drop(key, tunnel);
  for (const auto& member : found->second.members) {
    if (member->tunnel.get() != tunnel) continue;
    if (tunnel->stream_count() > 0) return;
    member->idle_since = net::Clock::now();
    if (!member->idle.armed()) watch_idle(*member);
    return;
  }
}

void Pool::State::watch_idle(Member& member) {
  const auto left = member.idle_since + options.idle_close - net::Clock::now();
  member.idle.arm(std::max(left, net::Clock::duration::zero()), [this, &member] {
    if (member.tunnel->stream_count() > 0) return;  // armed again when the last one ends
    if (net::Clock::now() - member.idle_since < options.idle_close) return watch_idle(member);
    const auto tunnel = member.tunnel;
    tunnel->drain();
  });
}

// Waits until the stream is answered or over.
net::Task<> Pool::State::answered(std::shared_ptr<State> self, std::shared_ptr<StreamState> stream) {
  struct Place {  // leaves the list however this ends
    Questions& list;
    Questions::iterator at;
    ~Place() { list.erase(at); }
  };
  const auto until = net::Clock::now() + self->options.answer_timeout;
  const Place place{self->questions, self->questions.insert(self->questions.end(), {until, stream})};
  if (!self->late.armed()) self->late.arm(self->options.answer_timeout, [raw = self.get()] { raw->give_up_late(); });
  while (!stream->answered && !stream->over) co_await stream->arrived.wait();
}

void Pool::State::give_up_late() {
  const auto now = net::Clock::now();
  std::vector<std::shared_ptr<StreamState>> gone;
  auto question = questions.begin();
  for (; question != questions.end() && question->until <= now; ++question) gone.push_back(question->stream);
  if (question != questions.end()) late.arm(question->until - now, [this] { give_up_late(); });
  for (const auto& stream : gone)
    stream->tunnel->reset(*stream, ErrorCode::kCancel, Reason::kConnectTimeout,
                          std::format("no answer within {}", options.answer_timeout));
}

// The pool forgets it; a draining one lives on until its streams are done.
void Pool::State::drop(const PoolKey& key, const Tunnel* tunnel) {
  const auto found = entries.find(key);
  if (found == entries.end()) return;
  auto& members = found->second.members;
  const auto member = std::ranges::find_if(members, [&](const auto& each) { return each->tunnel.get() == tunnel; });
  if (member == members.end()) return;
  const auto gone = std::move(*member);  // its timer may be what called us
  members.erase(member);
  if (members.empty() && !found->second.attempt) entries.erase(found);
}

Pool::Pool(net::Loop& loop, PoolOptions options, Dialler dialler)
    : state_(std::make_shared<State>(loop, std::move(options), std::move(dialler))) {}

Pool::~Pool() {
  close_if([](const PoolKey&) { return true; }, Reason::kDraining);
}

net::Task<Result<TunnelStream>> Pool::open(PoolKey key, ConnectRequest request) {
  const auto state = state_;
  const auto headers = request.headers();
  std::shared_ptr<Tunnel> except;
  while (true) {
    auto tunnel = co_await state->acquire(key, except);
    if (!tunnel) co_return std::unexpected(std::move(tunnel.error()));
    const auto stream = (*tunnel)->open(headers);
    if (!stream) continue;  // broke in this very moment
    TunnelStream handle(stream);
    co_await State::answered(state, stream);
    auto status = outcome(*stream);
    if (status) co_return handle;
    if (!stream->unprocessed || except)
      co_return std::unexpected(
          std::move(status.error()).during(std::format("opening {} through {}", request.authority.text(), key.to.text())));
    except = *tunnel;
    ++state->counts.retries;
  }
}

void Pool::close_if(const std::function<bool(const PoolKey&)>& matches, Reason reason) {
  std::vector<std::shared_ptr<Tunnel>> tunnels;
  for (auto& [key, entry] : state_->entries) {
    if (!matches(key)) continue;
    for (const auto& member : entry.members) tunnels.push_back(member->tunnel);
    if (entry.attempt) entry.closed = reason;
  }
  for (const auto& tunnel : tunnels) tunnel->close(reason, std::string("ended from outside: ") + std::string(name(reason)));
}

void Pool::retire_if(const std::function<bool(const PoolKey&)>& matches) {
  std::vector<std::shared_ptr<Tunnel>> tunnels;
  for (auto& [key, entry] : state_->entries)
    if (matches(key))
      for (const auto& member : entry.members) tunnels.push_back(member->tunnel);
  for (const auto& tunnel : tunnels) tunnel->drain();
}

PoolCounts Pool::counts() const {
  PoolCounts counts = state_->counts;
  for (const auto& [key, entry] : state_->entries)
    for (const auto& member : entry.members) {
      ++counts.tunnels;
      counts.streams += member->tunnel->stream_count();
    }
  return counts;
}

}  // namespace culvert::hbone
