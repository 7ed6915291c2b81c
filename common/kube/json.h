#pragma once
// Members of the JSON objects that this folder reads whole. Pure.

#include <boost/json/object.hpp>
#include <string>
#include <string_view>

namespace culvert::kube {

// A member that is a string; empty when there is none.
inline std::string text_at(const boost::json::object& in, std::string_view name) {
  const auto* value = in.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->as_string()) : std::string();
}

}  // namespace culvert::kube
