#pragma once
// Members of the JSON objects that this folder reads whole. Pure.

#include <algorithm>
#include <boost/json/object.hpp>
#include <cstdint>
#include <string>
#include <string_view>

namespace culvert::kube {

// A member that is a string; empty when there is none.
inline std::string text_at(const boost::json::object& in, std::string_view name) {
  const auto* value = in.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->as_string()) : std::string();
}

// A member that is a whole number, held within 0 and a million; 0 when there is none.
inline int number_at(const boost::json::object& in, std::string_view name) {
  const auto* value = in.if_contains(name);
  if (value == nullptr || !value->is_int64()) return 0;
  return static_cast<int>(std::clamp<std::int64_t>(value->as_int64(), 0, 1'000'000));
}

}  // namespace culvert::kube
