#pragma once
// How long whoever writes to the API server waits between tries after a failure: doubled each time.

#include <chrono>

namespace culvert::controlplane {

inline constexpr std::chrono::milliseconds kLeastPause{1'000}, kMostPause{60'000};

}  // namespace culvert::controlplane
