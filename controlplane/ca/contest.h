#pragma once
// Is somebody else putting back what we write, as we put back what he writes? Two control planes with different roots would go on for ever: who notices
// leaves it, and looks again after a while. Pure: the time is passed in.

#include <chrono>
#include <cstddef>
#include <map>
#include <string>

#include "common/net/loop.h"

namespace culvert::controlplane {

class Contest {
 public:
  static constexpr int kMost = 3;                               // times, of which the last begins the rest
  static constexpr auto kRest = std::chrono::minutes(10);       // in which it is left alone
  static constexpr auto kForgotten = std::chrono::minutes(15);  // afterwards it never happened

  // Somebody changed what we had written there. True when that was once too often.
  bool overwritten(const std::string& where, net::Clock::time_point now);
  bool contested(const std::string& where, net::Clock::time_point now) const;
  std::size_t count(net::Clock::time_point now) const;  // of places that are

 private:
  struct Place {
    int times = 0;
    net::Clock::time_point last{};
  };
  static bool rests(const Place& place, net::Clock::time_point now);
  std::map<std::string, Place> places_;
};

}  // namespace culvert::controlplane
