// Whatever strangers and callers do, in whatever order: the door's counts stay within their bounds, and are at nothing when everybody has gone.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/base/check.h"
#include "common/rpc/gate.h"

namespace {

using namespace culvert;
using rpc::Gate;

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
  static Endpoint peer_of(std::uint8_t whom) { return {IpAddress::v4(whom % 3U), static_cast<std::uint16_t>(whom % 8)}; }
  void out(std::optional<Gate::Id> id) const {
    if (id) CULVERT_CHECK(!gate.peer(*id));
  }
  void arrive(const Endpoint& peer) {
    const auto arrival = gate.arrive(peer, now);
    out(arrival.out);
    if (arrival.id) ids.push_back(*arrival.id);
  }
  void call(Gate::Id id) {
    const auto begun = gate.begin_call(id);
    if (begun) calls.push_back(*begun);
    else out(begun.error().out);
  }
  void end(std::size_t which) {
    const Gate::Ticket ticket = calls.at(which);
    calls.erase(calls.begin() + static_cast<std::ptrdiff_t>(which));
    take(gate.end_call(ticket));
  }
  void take(const Gate::Turn& turn) const {
    out(turn.out);
    CULVERT_CHECK(turn.go_on.size() <= kLimits.calls);
  }
  void act(std::uint8_t what, std::uint8_t whom) {
    now += std::chrono::milliseconds(what >> 4);
    if (what % 8 == 0 || ids.empty()) return arrive(peer_of(whom));
    const Gate::Id id = ids[ids.size() - 1 - whom % std::min<std::size_t>(ids.size(), 8)];
    const std::size_t which = calls.empty() ? 0 : whom % calls.size();
    switch (what % 8) {
      case 1:
      case 2: return call(id);
      case 3: return calls.empty() ? void() : end(which);
      case 4:
        if (!calls.empty() && calls[which].unproved) take(gate.prove(calls[which], whom % 2 != 0 ? "one" : "two"));
        return;
      case 5: return calls.empty() ? void() : gate.moved(calls[which]);
      case 6:
        sent += whom;
        if (gate.sent(id, sent)) out(id);
        return;
      default:
        for (const Gate::Id gone : gate.silent(now)) out(gone);
        if (whom % 5 == 0) gate.leave(id);
    }
  }
  void check() const {
    CULVERT_CHECK(gate.size() <= kLimits.connections);
    CULVERT_CHECK(gate.unproved() <= kLimits.unproved);
    CULVERT_CHECK(gate.unproved_calls() <= kLimits.unproved_calls_of_all + gate.unproved());
  }

  Gate gate{kLimits};
  Gate::Time now{};
  std::vector<Gate::Id> ids;
  std::vector<Gate::Ticket> calls;
  std::size_t sent = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  World world;
  for (std::size_t i = 0; i + 1 < size; i += 2) {
    world.act(data[i], data[i + 1]);
    world.check();
  }
  for (const Gate::Id id : world.ids) world.gate.leave(id);
  while (!world.calls.empty()) world.end(0);
  CULVERT_CHECK(world.gate.size() == 0 && world.gate.unproved() == 0 && world.gate.unproved_calls() == 0);
  return 0;
}
