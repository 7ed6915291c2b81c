#include "common/hbone/pool.h"

#include <algorithm>
#include <list>
#include <unordered_map>

#include "common/base/format.h"
#include "common/hbone/tunnel_life.h"

namespace culvert::hbone {
namespace {

// One try to connect, shared by everybody who waits for it.
struct Attempt {
  explicit Attempt(net::Loop& loop) : news(loop) {}
  bool over() const { return news.is_set(); }
  void end(Status with) {
    outcome = std::move(with);
    news.set();
  }
  net::Event news;       // it is over, or another tunnel of the key has room
  Status outcome;        // once it is over
  bool retired = false;  // retire_if() came meanwhile
};

struct Entry;

// A tunnel in its entry.
struct Member {
  Member(net::Loop& loop, Entry& in, std::shared_ptr<Tunnel> of) : entry(in), tunnel(std::move(of)), idle(loop) {}
  Entry& entry;
  const std::shared_ptr<Tunnel> tunnel;
  net::Timer idle;  // runs on while streams come and go, and looks when it passes
  net::Clock::time_point idle_since{};
};

// What there is for one key; lives while there is something.
struct Entry {
  const PoolKey* key = nullptr;
  std::vector<std::shared_ptr<Member>> members;
  std::shared_ptr<Attempt> attempt;
};

struct HashKey {
  std::size_t operator()(const PoolKey& key) const {
    return (std::hash<Endpoint>()(key.to) * 31 + std::hash<Identity>()(key.source)) * 31 + key.netns;
  }
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
  return failure(culvert::format("the far end answered with status {}", stream.response.status), Reason::kHttpStatus);
}

}  // namespace

struct Pool::State : std::enable_shared_from_this<Pool::State> {
  State(net::Loop& of, PoolOptions with, Dialler by) : loop(of), options(std::move(with)), dialler(std::move(by)) {}

  Entry& entry_of(const PoolKey& key);
  static std::shared_ptr<Tunnel> pick(const Entry& entry, const Tunnel* except);
  net::Task<Result<std::shared_ptr<Tunnel>>> acquire(const PoolKey& key, std::shared_ptr<Tunnel> except);
  static net::Task<> connect(std::shared_ptr<State> self, PoolKey key, std::shared_ptr<Attempt> attempt);
  net::Task<Result<std::shared_ptr<Tunnel>>> pull(const PoolKey& key, DialPlan plan);
  void keep(Entry& entry, const std::shared_ptr<Tunnel>& tunnel);
  void on_change(Member& member);
  void drop(const Member& member);
  void watch_idle(Member& member);
  static net::Task<> answered(std::shared_ptr<State> self, std::shared_ptr<StreamState> stream);
  void give_up_late();

  net::Loop& loop;
  const PoolOptions options;
  const Dialler dialler;
  std::unordered_map<PoolKey, Entry, HashKey> entries;
  PoolCounts counts;
  Questions questions;
  net::Timer late{loop};  // for the first of them; armed anew only when it has passed, so that an answer costs no timer
};

Entry& Pool::State::entry_of(const PoolKey& key) {
  const auto [place, made] = entries.try_emplace(key);
  if (made) place->second.key = &place->first;
  return place->second;
}

// The fullest tunnel with room, so that surplus ones run empty.
std::shared_ptr<Tunnel> Pool::State::pick(const Entry& entry, const Tunnel* except) {
  const Member* best = nullptr;
  for (const auto& member : entry.members) {
    const auto& tunnel = member->tunnel;
    if (tunnel.get() == except || tunnel->open_room() == 0) continue;
    if (best == nullptr || tunnel->stream_count() > best->tunnel->stream_count()) best = member.get();
  }
  return best == nullptr ? nullptr : best->tunnel;
}

// A tunnel with room, not `except`. The caller opens its stream before anybody else runs.
net::Task<Result<std::shared_ptr<Tunnel>>> Pool::State::acquire(const PoolKey& key, std::shared_ptr<Tunnel> except) {
  const auto self = shared_from_this();
  while (true) {
    Entry& own = entry_of(key);
    if (auto tunnel = pick(own, except.get())) co_return tunnel;
    auto attempt = own.attempt;
    if (!attempt) {
      own.attempt = attempt = std::make_shared<Attempt>(loop);
      loop.spawn(connect(self, key, attempt));
    }
    co_await attempt->news.wait();
    if (!attempt->over() || attempt->outcome) continue;
    const auto found = entries.find(key);
    auto tunnel = found == entries.end() ? nullptr : pick(found->second, except.get());
    if (tunnel) co_return tunnel;
    co_return std::unexpected(attempt->outcome.error());
  }
}

net::Task<> Pool::State::connect(std::shared_ptr<State> self, PoolKey key, std::shared_ptr<Attempt> attempt) {
  ++self->counts.connects;
  Result<std::shared_ptr<Tunnel>> tunnel = nullptr;
  if (auto plan = self->dialler(key)) {
    plan->dial.timeout = self->options.connect_timeout;
    if (!plan->dial.keepalive) plan->dial.keepalive = net::Keepalive{};
    tunnel = co_await self->pull(key, *std::move(plan));
  } else {
    tunnel = std::unexpected(std::move(plan.error()));
  }
  if (!tunnel) ++self->counts.failed;
  if (attempt->over()) {  // close_if() did not wait for us
    if (tunnel) (*tunnel)->close(attempt->outcome.error().reason, "closed while connecting");
    co_return;
  }
  Entry& own = self->entry_of(key);
  own.attempt = nullptr;
  if (tunnel && !attempt->retired) {
    self->keep(own, *tunnel);
  } else {
    if (tunnel) (*tunnel)->close(Reason::kNone, "retired while connecting");  // who waited for it tries again
    if (own.members.empty()) self->entries.erase(key);
  }
  attempt->end(tunnel ? Status{} : std::unexpected(std::move(tunnel.error())));
}

// TCP and TLS.
net::Task<Result<std::shared_ptr<Tunnel>>> Pool::State::pull(const PoolKey& key, DialPlan plan) {
  const bool hbone_port = key.to.port == 15008;
  auto socket = co_await net::dial(loop, std::move(plan.dial));
  if (!socket) {
    Error error = std::move(socket.error());
    if (hbone_port && error.reason == Reason::kConnectTimeout) {
      error.reason = Reason::kNetworkPolicy;
      error.text += " (is a NetworkPolicy blocking port 15008?)";
    }
    co_return std::unexpected(std::move(error));
  }
  auto tunnel =
      std::make_shared<Tunnel>(loop, *std::move(socket), plan.tls.mesh_client(key.expect), Engine::Role::kClient, options.tunnel);
  auto hello = co_await tunnel->shake_hands();
  if (!hello) co_return std::unexpected(std::move(hello.error()));
  co_return tunnel;
}

void Pool::State::keep(Entry& entry, const std::shared_ptr<Tunnel>& tunnel) {
  const auto member = std::make_shared<Member>(loop, entry, tunnel);
  entry.members.push_back(member);
  tunnel->on_change([pool = weak_from_this(), weak = std::weak_ptr(member)] {
    const auto self = pool.lock();
    const auto own = weak.lock();  // gone: it drains, and is no longer ours
    if (self && own) self->on_change(*own);
  });
  member->idle_since = net::Clock::now();
  watch_idle(*member);
  tunnel->start();
}

void Pool::State::on_change(Member& member) {
  Tunnel& tunnel = *member.tunnel;
  if (tunnel.draining()) return drop(member);
  if (const auto attempt = member.entry.attempt)
    for (auto room = tunnel.open_room(); room > 0 && attempt->news.has_waiters(); --room) attempt->news.notify_one();
  if (tunnel.stream_count() > 0) return;
  member.idle_since = net::Clock::now();
  if (!member.idle.armed()) watch_idle(member);
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
                          culvert::format("no answer within {}", options.answer_timeout));
}

// The pool forgets it; a draining one lives on until its streams are done.
void Pool::State::drop(const Member& member) {
  Entry& entry = member.entry;
  std::erase_if(entry.members, [&](const auto& each) { return each.get() == &member; });
  if (entry.members.empty() && !entry.attempt) entries.erase(PoolKey(*entry.key));
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
          std::move(status.error()).during(culvert::format("opening {} through {}", request.authority.text(), key.to.text())));
    except = *tunnel;
    ++state->counts.retries;
  }
}

void Pool::close_if(const std::function<bool(const PoolKey&)>& matches, Reason reason) {
  std::vector<std::shared_ptr<Tunnel>> tunnels;
  for (auto& [key, entry] : state_->entries) {
    if (!matches(key)) continue;
    for (const auto& member : entry.members) tunnels.push_back(member->tunnel);
    if (const auto attempt = std::exchange(entry.attempt, nullptr)) attempt->end(failure("closed while connecting", reason));
  }
  std::erase_if(state_->entries, [](const auto& each) { return each.second.members.empty() && !each.second.attempt; });
  for (const auto& tunnel : tunnels) tunnel->close(reason, std::string("ended from outside: ") + std::string(name(reason)));
}

void Pool::retire_if(const std::function<bool(const PoolKey&)>& matches) {
  std::vector<std::shared_ptr<Tunnel>> tunnels;
  for (auto& [key, entry] : state_->entries) {
    if (!matches(key)) continue;
    for (const auto& member : entry.members) tunnels.push_back(member->tunnel);
    if (entry.attempt) entry.attempt->retired = true;
  }
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
