#pragma once
// When a certificate is fetched again (protocols.md §4.4). Pure.

#include <chrono>
#include <cstdint>

namespace culvert::ztunnel {

using Clock = std::chrono::system_clock;

// Half of its lifetime, the time it was dated back counted in.
Clock::time_point renew_at(Clock::time_point not_before, Clock::time_point not_after);

// The pause after so many failures in a row: from 0.5 s, doubled each time, at most 150 s, each by up to a fifth more or less.
// `random` is uniform over 64 bits.
std::chrono::milliseconds retry_pause(unsigned failures, std::uint64_t random);

}  // namespace culvert::ztunnel
