#include "controlplane/ca/review_queue.h"

#include <algorithm>

namespace culvert::controlplane {

bool ReviewQueue::add(const std::string& from, bool known, const TokenHash& token, net::Clock::time_point now) {
  if (!known && strangers_waiting_ >= limits_.waiting) return false;
  const auto address = addresses_.try_emplace(from).first;
  Address& its = address->second;
  if (its.waiting.size() >= limits_.waiting_of_one) return false;
  if (its.waiting.empty()) {
    its.known = known;
    turns_.push_back(address);
  }
  its.waiting.emplace_back(token, now);
  strangers_waiting_ += its.known ? 0 : 1;
  return true;
}

std::optional<int> ReviewQueue::rank(const Address& address, net::Clock::time_point now) const {
  const bool is_last = !address.known && now < address.last_until;
  if (address.under_way >= (is_last ? 1 : limits_.of_one)) return std::nullopt;
  if (!address.known && strangers_under_way_ + limits_.kept >= limits_.at_once) return std::nullopt;
  return address.known ? 0 : is_last ? 2 : 1;
}

std::optional<ReviewQueue::Turn> ReviewQueue::next(net::Clock::time_point now) {
  if (under_way_ >= limits_.at_once) return std::nullopt;
  auto chosen = turns_.end();
  int best = 3;
  for (auto one = turns_.begin(); one != turns_.end() && best > 0; ++one) {
    const auto its = rank((*one)->second, now);
    if (its && *its < best) best = *its, chosen = one;
  }
  if (chosen == turns_.end()) return std::nullopt;
  const auto address = *chosen;
  Address& its = address->second;
  Turn turn{.token = its.waiting.front().first, .from = address->first, .known = its.known};
  its.waiting.pop_front();
  if (its.waiting.empty()) turns_.erase(chosen);
  else turns_.splice(turns_.end(), turns_, chosen);
  ++its.under_way;
  ++under_way_;
  if (!turn.known) --strangers_waiting_, ++strangers_under_way_;
  return turn;
}

void ReviewQueue::done(const Turn& turn, Answer answer, net::Clock::time_point now) {
  const auto address = addresses_.find(turn.from);
  --address->second.under_way;
  --under_way_;
  if (!turn.known) --strangers_under_way_;
  if (answer == Answer::kRefused) address->second.last_until = now + limits_.last_for;
  if (answer == Answer::kGood) address->second.last_until = {};
  forget(address, now);
  if (now < swept_ + limits_.last_for) return;
  swept_ = now;
  for (auto one = addresses_.begin(); one != addresses_.end();) forget(one++, now);
}

void ReviewQueue::forget(Addresses::iterator address, net::Clock::time_point now) {
  const Address& its = address->second;
  if (its.waiting.empty() && its.under_way == 0 && its.last_until <= now) addresses_.erase(address);
}

std::vector<TokenHash> ReviewQueue::overdue(net::Clock::time_point now) {
  std::vector<TokenHash> out;
  for (auto one = turns_.begin(); one != turns_.end();) {
    const auto address = *one;
    auto& waiting = address->second.waiting;
    while (!waiting.empty() && waiting.front().second + limits_.patience <= now) {
      out.push_back(waiting.front().first);
      waiting.pop_front();
      strangers_waiting_ -= address->second.known ? 0 : 1;
    }
    if (!waiting.empty()) {
      ++one;
      continue;
    }
    one = turns_.erase(one);
    forget(address, now);
  }
  return out;
}

}  // namespace culvert::controlplane
