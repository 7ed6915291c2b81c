#pragma once
// What one caller may cost, however good its proof: certificates in a time, and lines in the log. The time is passed in.

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "common/net/loop.h"

namespace culvert::controlplane {

// So many at once, and then so many a second, for each caller.
class Quota {
 public:
  struct Rate {
    double burst = 1;
    double per_second = 1;
  };
  // False: that was one too many.
  bool take(const std::string& caller, const Rate& rate, net::Clock::time_point now);
  std::size_t callers() const { return left_.size(); }  // that are remembered

 private:
  struct Left {
    double count;
    net::Clock::time_point since;
    net::Clock::time_point full;  // when nothing of it needs to be remembered
  };
  std::map<std::string, Left> left_;
  net::Clock::time_point swept_{};
};

// A line about each caller every ten seconds is enough to find out who.
class Quiet {
 public:
  static constexpr auto kPause = std::chrono::seconds(10);
  // How many lines about it were left out before this one; none: leave this one out as well.
  std::optional<std::uint64_t> say(const std::string& caller, net::Clock::time_point now);

 private:
  struct Said {
    net::Clock::time_point quiet_until;
    std::uint64_t left_out = 0;
  };
  std::map<std::string, Said> said_;
  net::Clock::time_point swept_{};
};

}  // namespace culvert::controlplane
