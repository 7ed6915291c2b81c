#pragma once
// Points in time and spans of it as objects write them. Pure.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace culvert::config {

// RFC 3339: "2026-08-20T10:00:00Z", "2026-08-20T12:00:00.5+02:00"; seconds since 1970.
std::optional<std::int64_t> seconds_of(const std::string& text);

// "1.5s" as protobuf writes it, "1h30m", "500ms", "-1s", "0" as Go does. Within 292 years.
std::optional<std::chrono::nanoseconds> duration_of(std::string_view text);

}  // namespace culvert::config
