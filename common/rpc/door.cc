#include "common/rpc/door.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "common/base/format.h"
#include "common/base/log.h"

namespace culvert::rpc {
namespace {

constexpr std::string_view kScope = "rpc";
constexpr auto kQuiet = std::chrono::seconds(10);

Gate::Time now() { return std::chrono::steady_clock::now(); }

Gate::Limits affordable(Gate::Limits limits) {
  constexpr std::size_t kOthers = 256;  // descriptors that are no connections
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == RLIM_INFINITY) return limits;
  const std::size_t most = std::max<std::size_t>(files.rlim_cur, 2 * kOthers) - kOthers;
  if (limits.connections <= most) return limits;
  log::warn(kScope, "fewer connections than are set: this process may not open as many files (raise its limit of open files)",
            {log::field("connections", most), log::field("set", limits.connections)});
  limits.connections = most;
  limits.unproved = std::min(limits.unproved, std::max<std::size_t>(1, most / 2));
  return limits;
}

}  // namespace

Door::Door(const Gate::Limits& limits) : gate_(affordable(limits)) {}

Door::Arrival Door::arrive(const Endpoint& peer, const Cut& cut_it) {
  const Lock lock(mutex_);
  const Gate::Arrival arrival = gate_.arrive(peer, now());
  cut(arrival.out);
  if (arrival.id) cuts_.emplace(*arrival.id, &cut_it);
  return {.id = arrival.id, .crowded = arrival.out.has_value()};
}

void Door::cut(std::optional<Gate::Id> id) {
  if (!id) return;
  if (const auto found = cuts_.extract(*id)) (*found.mapped())(*id);
}

void Door::leave(Gate::Id id) {
  const Lock lock(mutex_);
  cuts_.erase(id);
  gate_.leave(id);
}

void Door::count_broken() {
  const Lock lock(mutex_);
  gate_.count_broken();
}

bool Door::sent(Gate::Id id, std::size_t bytes) {
  const Lock lock(mutex_);
  if (!gate_.sent(id, bytes)) return true;
  cut(id);
  return false;
}

std::optional<Gate::Ticket> Door::begin_call(Gate::Id id) {
  const Lock lock(mutex_);
  const auto begun = gate_.begin_call(id);
  if (begun) return *begun;
  cut(begun.error().out);
  return std::nullopt;
}

bool Door::knows(Gate::Id id) const {
  const Lock lock(mutex_);
  return gate_.peer(id).has_value();
}

std::vector<Gate::Call> Door::prove(Gate::Ticket& ticket, const std::string& caller) {
  const Lock lock(mutex_);
  if (!ticket.unproved) return {};
  Gate::Turn turn = gate_.prove(ticket, caller);
  cut(turn.out);
  return std::move(turn.go_on);
}

std::vector<Gate::Call> Door::end_call(const Gate::Ticket& ticket) {
  const Lock lock(mutex_);
  Gate::Turn turn = gate_.end_call(ticket);
  cut(turn.out);
  return std::move(turn.go_on);
}

void Door::moved(const Gate::Ticket& ticket) {
  const Lock lock(mutex_);
  gate_.moved(ticket);
}

void Door::count_refused() {
  const Lock lock(mutex_);
  gate_.count_refused();
}

void Door::close() {
  const Lock lock(mutex_);
  cuts_.clear();
}

// A line for all that was turned away in ten seconds.
void Door::look() {
  const Lock lock(mutex_);
  for (const Gate::Id id : gate_.silent(now())) cut(id);
  std::uint64_t all = gate_.refused_calls();
  std::string each;
  for (std::size_t i = 0; i < Gate::kReasons; ++i) {
    const auto reason = static_cast<Gate::Reason>(i);
    if (gate_.turned_away(reason) != 0)
      each += culvert::format("{}{} {}", each.empty() ? "" : ", ", Gate::text(reason), gate_.turned_away(reason));
    all += gate_.turned_away(reason);
  }
  if (all == said_ || now() < quiet_until_) return;
  said_ = all;
  quiet_until_ = now() + kQuiet;
  log::warn(kScope, "turned callers away (see culvert_connections_turned_away_total)",
            {log::field("connections", each), log::field("unproved_now", gate_.unproved())});
}

void Door::complain(const std::string& what) {
  const Lock lock(mutex_);
  if (now() < no_complaint_until_) return;
  no_complaint_until_ = now() + kQuiet;
  log::error(kScope, what);
}

Door::Figures Door::figures() const {
  const Lock lock(mutex_);
  Figures out{.proved = gate_.size() - gate_.unproved(), .unproved = gate_.unproved()};
  for (std::size_t i = 0; i < Gate::kReasons; ++i) out.turned_away[i] = gate_.turned_away(static_cast<Gate::Reason>(i));
  out.refused_calls = gate_.refused_calls();
  return out;
}

}  // namespace culvert::rpc
