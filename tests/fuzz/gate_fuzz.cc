// Whatever strangers and callers do, in whatever order: the door's counts stay within their bounds, and are at nothing when everybody has gone.
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/rpc/gate.h"
#include "common/rpc/turnstile.h"

namespace {

using namespace culvert;
using rpc::Gate;
using rpc::Turnstile;

constexpr Gate::Limits kLimits{.connections = 6,
                               .of_address = 5,
                               .of_caller = 2,
                               .calls = 4,
                               .bytes = 1000,
                               .proof = std::chrono::milliseconds(20),
                               .unproved = 4,
                               .unproved_of_address = 3,
                               .unproved_bytes = 100,
                               .unproved_calls = 2,
                               .unproved_calls_of_address = 5,
                               .tries = 6,
                               .unproved_calls_of_all = 8};

// As the door does it, without sockets.
struct World {
  struct Call {
    Gate::Ticket ticket;
    Turnstile::Number number = 0;
  };

  static Endpoint peer_of(std::uint8_t whom) { return {IpAddress::v4(whom % 3U), static_cast<std::uint16_t>(whom % 8)}; }
  Turnstile::Number& number_of(const Endpoint& peer) { return numbers[peer]; }
  void out(std::optional<Gate::Id> id) {
    if (!id) return;
    CULVERT_CHECK(!gate.peer(*id));
    turnstile.leave(*id, now);
  }
  void arrive(const Endpoint& peer) {
    const auto arrival = gate.arrive(peer, now);
    out(arrival.out);
    if (arrival.id) ids.push_back(*arrival.id), number_of(peer) = 0;
  }
  void call(const Endpoint& peer) {
    Turnstile::Number& number = number_of(peer);
    if (number == 0) number = turnstile.open(now);
    const auto verdict = turnstile.read(number);
    if (const auto id = turnstile.whose(number); verdict == Turnstile::Verdict::kEnd) gate.refuse(*id), out(id);
    if (verdict != Turnstile::Verdict::kPass) return;
    const auto id = gate.find(peer);
    if (turnstile.begun(number, id)) gate.refuse(*id), out(id);
    const auto begun = gate.begin_call(peer);
    if (begun) return calls.push_back({*begun, number});
    out(begun.error().out);
    turnstile.done(number);
  }
  void end(std::size_t which) {
    const Call call = calls.at(which);
    calls.erase(calls.begin() + static_cast<std::ptrdiff_t>(which));
    take(gate.end_call(call.ticket));
    turnstile.done(call.number);
  }
  void take(const Gate::Turn& turn) {
    out(turn.out);
    CULVERT_CHECK(turn.go_on.size() <= kLimits.calls);
  }
  void act(std::uint8_t what, std::uint8_t whom) {
    const Endpoint peer = peer_of(whom);
    const std::size_t which = calls.empty() ? 0 : whom % calls.size();
    now += std::chrono::milliseconds(what >> 4);
    switch (what % 8) {
      case 0: return arrive(peer);
      case 1:
      case 2: return call(peer);
      case 3: return calls.empty() ? void() : end(which);
      case 4:
        if (calls.empty()) return;
        if (calls[which].ticket.unproved) take(gate.prove(calls[which].ticket, whom % 2 != 0 ? "one" : "two"));
        return turnstile.prove(calls[which].ticket.id);
      case 5: return calls.empty() ? void() : gate.moved(calls[which].ticket);
      case 6:
        if (const auto id = gate.find(peer); id && gate.sent(*id, sent += whom)) out(id);
        return;
      default:
        for (const Gate::Id id : gate.silent(now)) out(id);
        if (const auto id = gate.find(peer); id && whom % 5 == 0) gate.leave(*id), out(id);
    }
  }
  void check() const {
    CULVERT_CHECK(gate.size() <= kLimits.connections);
    CULVERT_CHECK(gate.unproved() <= kLimits.unproved);
    CULVERT_CHECK(turnstile.unproved() <= kLimits.unproved_calls_of_all + turnstile.connections());
  }

  Gate gate{kLimits};
  Turnstile turnstile{kLimits};
  Gate::Time now{};
  std::vector<Gate::Id> ids;
  std::vector<Call> calls;
  std::unordered_map<Endpoint, Turnstile::Number> numbers{};
  std::size_t sent = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  World world;
  for (std::size_t i = 0; i + 1 < size; i += 2) {
    world.act(data[i], data[i + 1]);
    world.check();
  }
  for (const Gate::Id id : world.ids)
    if (world.gate.peer(id)) world.gate.leave(id), world.out(id);
  while (!world.calls.empty()) world.end(0);
  world.turnstile.sweep(world.now + std::chrono::hours(1));
  CULVERT_CHECK(world.gate.size() == 0 && world.gate.unproved() == 0);
  CULVERT_CHECK(world.turnstile.unproved() == 0 && world.turnstile.connections() == 0);
  return 0;
}
