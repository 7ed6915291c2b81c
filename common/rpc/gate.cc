#include "common/rpc/gate.h"

#include <utility>

#include "common/base/check.h"

namespace culvert::rpc {

std::string_view Gate::text(Reason reason) {
  switch (reason) {
    case Reason::kFull: return "full";
    case Reason::kAddress: return "address";
    case Reason::kCrowded: return "crowded";
    case Reason::kSilent: return "silent";
    case Reason::kBytes: return "bytes";
    case Reason::kTries: return "tries";
    case Reason::kCaller: return "caller";
    case Reason::kBroken: return "broken";
  }
  CULVERT_CHECK(false);
}

// Who makes room for one more of this address, if anybody has to.
std::optional<Gate::Id> Gate::whose_place(const IpAddress& address) const {
  if (const auto found = addresses_.find(address); found != addresses_.end()) {
    const Address& its = found->second;
    const bool many = its.connections >= limits_.of_address || its.unproved.size() >= limits_.unproved_of_address;
    if (many && !its.unproved.empty()) return *its.unproved.begin();
  }
  if (connections_.size() < limits_.connections && unproved_.size() < limits_.unproved) return std::nullopt;
  std::optional<Id> out;
  std::size_t most = 0;
  for (const Id id : unproved_) {
    const std::size_t its = addresses_.at(connections_.at(id).peer.address).unproved.size();
    if (its > most) out = id, most = its;
  }
  return out;
}

Gate::Arrival Gate::arrive(const Endpoint& peer, Time now) {
  const auto known = addresses_.find(peer.address);
  if (known != addresses_.end() && known->second.connections >= limits_.of_address && known->second.unproved.empty())
    return count(Reason::kAddress), Arrival{};
  const std::optional<Id> out = whose_place(peer.address);
  if (out) turn_away(*out, Reason::kCrowded);
  if (connections_.size() >= limits_.connections) return count(Reason::kFull), Arrival{};
  const Id id = ++last_;
  connections_.emplace(id, Connection{.peer = peer, .since = now});
  unproved_.insert(id);
  Address& address = addresses_[peer.address];
  ++address.connections;
  address.unproved.insert(id);
  return {.id = id, .out = out};
}

void Gate::leave(Id id) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  const Connection connection = std::move(found->second);
  connections_.erase(found);
  unproved_.erase(id);
  if (connection.caller.empty()) unproved_calls_ -= connection.calls;
  Address& address = addresses_.at(connection.peer.address);
  --address.connections;
  address.unproved.erase(id);
  forget(connection.peer.address);
  const auto caller = callers_.find(connection.caller);
  if (caller == callers_.end()) return;
  caller->second.erase(id);
  if (caller->second.empty()) callers_.erase(caller);
}

void Gate::turn_away(Id id, Reason reason) {
  count(reason);
  leave(id);
}

void Gate::forget(const IpAddress& address) {
  const auto found = addresses_.find(address);
  if (found != addresses_.end() && found->second.connections == 0 && found->second.calls == 0) addresses_.erase(found);
}

std::vector<Gate::Id> Gate::silent(Time now) {
  std::vector<Id> out;
  for (const Id id : unproved_) {
    if (now - connections_.at(id).since < limits_.proof) break;
    out.push_back(id);
  }
  for (const Id id : out) turn_away(id, Reason::kSilent);
  return out;
}

bool Gate::sent(Id id, std::size_t bytes) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return false;
  Connection& connection = found->second;
  const bool proved = !connection.caller.empty();
  if (proved && std::exchange(connection.moved, false)) connection.counted = bytes;
  if (bytes - connection.counted <= (proved ? limits_.bytes : limits_.unproved_bytes)) return false;
  turn_away(id, Reason::kBytes);
  return true;
}

std::expected<Gate::Ticket, Gate::Refused> Gate::begin_call(Id id) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return std::unexpected(Refused{});  // it had to go, and does not know yet
  Connection& connection = found->second;
  Address& address = addresses_.at(connection.peer.address);
  const bool unproved = connection.caller.empty();
  const bool waits = unproved && connection.calls - connection.waiting.size() >= limits_.unproved_calls;
  const bool crowded = unproved && ((!waits && address.calls >= limits_.unproved_calls_of_address) ||
                                    (connection.calls > 0 && unproved_calls_ >= limits_.unproved_calls_of_all));
  const bool many = connection.calls >= (unproved ? 1 : 2) * limits_.calls || crowded;
  const bool often = (many || (unproved && !waits)) && tried(id, connection);
  if (often || many) {
    ++refused_calls_;
    return std::unexpected(Refused{.out = often ? std::optional(id) : std::nullopt});
  }
  connection.moved = true;
  ++connection.calls;
  if (unproved) ++unproved_calls_;
  if (unproved && !waits) ++address.calls;
  if (waits) connection.waiting.insert(last_call_ + 1);
  return Ticket{.id = id, .address = connection.peer.address, .call = ++last_call_, .unproved = unproved, .waits = waits};
}

// Once more. True: it goes.
bool Gate::tried(Id id, Connection& connection) {
  if (++connection.tries <= limits_.tries) return false;
  turn_away(id, Reason::kTries);
  return true;
}

// It is no longer one of the unproved ones of its address that are looked at.
void Gate::uncount(const Ticket& ticket) {
  if (ticket.unproved && (!ticket.waits || given_.erase(ticket.call) != 0)) --addresses_.at(ticket.address).calls;
  forget(ticket.address);
}

Gate::Turn Gate::prove(Ticket& ticket, const std::string& caller) {
  uncount(ticket);
  ticket.unproved = false;
  const auto found = connections_.find(ticket.id);
  if (found == connections_.end() || !found->second.caller.empty()) return {};
  const std::set<Call> waited = std::exchange(found->second.waiting, {});
  Turn turn{.out = {}, .go_on = {waited.begin(), waited.end()}};
  unproved_calls_ -= found->second.calls;
  found->second.caller = caller;
  found->second.moved = true;
  found->second.tries = 0;
  unproved_.erase(ticket.id);
  addresses_.at(ticket.address).unproved.erase(ticket.id);
  std::set<Id>& its = callers_[caller];
  its.insert(ticket.id);
  if (its.size() <= limits_.of_caller) return turn;
  turn.out = *its.begin();
  turn_away(*turn.out, Reason::kCaller);
  return turn;
}

void Gate::moved(const Ticket& ticket) {
  if (const auto found = connections_.find(ticket.id); found != connections_.end()) found->second.moved = true;
}

// One that ended without a proof gives its turn to the next; one that did not wait for its turn is a try as well.
Gate::Turn Gate::end_call(const Ticket& ticket) {
  uncount(ticket);
  const auto found = connections_.find(ticket.id);
  if (found == connections_.end()) return {};
  Connection& connection = found->second;
  --connection.calls;
  if (!connection.caller.empty()) return {};
  --unproved_calls_;
  const bool waited = connection.waiting.erase(ticket.call) != 0;
  if (!waited && connection.waiting.empty()) return {};
  if (tried(ticket.id, connection)) return {.out = ticket.id};
  if (waited) return {};
  const Call next = connection.waiting.extract(connection.waiting.begin()).value();
  given_.insert(next);
  ++addresses_.at(ticket.address).calls;
  return {.out = {}, .go_on = {next}};
}

std::optional<Endpoint> Gate::peer(Id id) const {
  const auto found = connections_.find(id);
  return found == connections_.end() ? std::nullopt : std::optional(found->second.peer);
}

}  // namespace culvert::rpc
