#include "controlplane/ca/limits.h"

#include <algorithm>
#include <utility>

namespace culvert::controlplane {
namespace {

constexpr auto kSweep = std::chrono::seconds(60);

double seconds(net::Clock::duration time) { return std::chrono::duration<double>(time).count(); }

}  // namespace

bool Quota::take(const std::string& caller, const Rate& rate, net::Clock::time_point now) {
  if (now - swept_ >= kSweep) {
    std::erase_if(left_, [&](const auto& one) { return one.second.full <= now; });
    swept_ = now;
  }
  Left& left = left_.try_emplace(caller, Left{rate.burst, now, now}).first->second;
  left.count = std::min(rate.burst, left.count + seconds(now - left.since) * rate.per_second);
  left.since = now;
  const bool one = left.count >= 1;
  if (one) left.count -= 1;
  left.full = now + std::chrono::duration_cast<net::Clock::duration>(
                        std::chrono::duration<double>((rate.burst - left.count) / rate.per_second));
  return one;
}

std::optional<std::uint64_t> Quiet::say(const std::string& caller, net::Clock::time_point now) {
  if (now - swept_ >= kSweep) {
    std::erase_if(said_, [&](const auto& one) { return one.second.quiet_until <= now && one.second.left_out == 0; });
    swept_ = now;
  }
  const auto [found, fresh] = said_.try_emplace(caller);
  Said& said = found->second;
  if (!fresh && now < said.quiet_until) {
    ++said.left_out;
    return std::nullopt;
  }
  said.quiet_until = now + kPause;
  return std::exchange(said.left_out, 0);
}

}  // namespace culvert::controlplane
