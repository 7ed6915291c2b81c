#include "common/rpc/turnstile.h"

#include <iterator>

namespace culvert::rpc {

Turnstile::Verdict Turnstile::read(Number number) {
  const auto found = connections_.find(number);
  if (found == connections_.end()) return Verdict::kRefuse;
  Connection& connection = found->second;
  // Each has one, however many others there are: who can prove himself does so with that.
  const bool many = connection.proved ? connection.calls >= 2 * limits_.calls
                                      : connection.calls >= limits_.calls ||
                                            (connection.calls > 0 && unproved_ >= limits_.unproved_calls_of_all);
  if (many || connection.gone || connection.refused > most_refused()) {
    ++connection.refused;
    return connection.id && connection.refused == most_refused() + 1 ? Verdict::kEnd : Verdict::kRefuse;
  }
  ++connection.calls;
  if (!connection.proved) ++unproved_;
  return Verdict::kPass;
}

bool Turnstile::begun(Number number, std::optional<Gate::Id> id) {
  const auto found = connections_.find(number);
  if (found == connections_.end() || found->second.id) return false;
  if (!id) {
    found->second.gone = true;
    return false;
  }
  found->second.id = id;
  numbers_[*id] = number;
  return found->second.refused > most_refused();
}

std::optional<Gate::Id> Turnstile::whose(Number number) const {
  const auto found = connections_.find(number);
  return found == connections_.end() ? std::nullopt : found->second.id;
}

void Turnstile::done(Number number) {
  const auto found = connections_.find(number);
  if (found == connections_.end()) return;
  --found->second.calls;
  if (!found->second.proved) --unproved_;
  forget(number);
}

Turnstile::Connection* Turnstile::known(Gate::Id id) {
  const auto number = numbers_.find(id);
  return number == numbers_.end() ? nullptr : &connections_.at(number->second);
}

void Turnstile::prove(Gate::Id id) {
  Connection* connection = known(id);
  if (connection == nullptr || connection->proved) return;
  connection->proved = true;
  connection->refused = 0;
  unproved_ -= connection->calls;
}

void Turnstile::leave(Gate::Id id, Gate::Time now) {
  Connection* connection = known(id);
  if (connection == nullptr) return;
  connection->gone = true;
  connection->since = now;
  forget(numbers_.extract(id).mapped());
}

// Once nobody can ask for it any more but one who is to be refused.
void Turnstile::forget(Number number) {
  const auto found = connections_.find(number);
  if (found->second.gone && found->second.calls == 0) erase(found);
}

Turnstile::Connections::iterator Turnstile::erase(Connections::iterator at) {
  if (!at->second.proved) unproved_ -= at->second.calls;
  return connections_.erase(at);
}

void Turnstile::sweep(Gate::Time now) {
  for (auto at = connections_.begin(); at != connections_.end();) {
    const Connection& its = at->second;
    const bool nobody = (its.gone || !its.id) && now - its.since >= kLong;
    at = nobody ? erase(at) : std::next(at);
  }
}

}  // namespace culvert::rpc
