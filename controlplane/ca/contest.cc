#include "controlplane/ca/contest.h"

#include <algorithm>

namespace culvert::controlplane {

bool Contest::overwritten(const std::string& where, net::Clock::time_point now) {
  std::erase_if(places_, [&](const auto& one) { return now - one.second.last >= kForgotten; });
  Place& place = places_[where];
  place.last = now;
  return ++place.times >= kMost;
}

bool Contest::rests(const Place& place, net::Clock::time_point now) { return place.times >= kMost && now - place.last < kRest; }

bool Contest::contested(const std::string& where, net::Clock::time_point now) const {
  const auto found = places_.find(where);
  return found != places_.end() && rests(found->second, now);
}

std::size_t Contest::count(net::Clock::time_point now) const {
  return static_cast<std::size_t>(std::ranges::count_if(places_, [&](const auto& one) { return rests(one.second, now); }));
}

}  // namespace culvert::controlplane
