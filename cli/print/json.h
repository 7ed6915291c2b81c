#pragma once
// JSON that a program of the mesh or the API server has sent: its members, and printing it. Pure.

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace culvert::cli::print {

// A member; empty, 0 or false when there is none of that type.
std::string text_at(const boost::json::object& in, std::string_view name);
std::uint64_t number_at(const boost::json::object& in, std::string_view name);
bool flag_at(const boost::json::object& in, std::string_view name, bool fallback = false);
std::vector<std::string> texts_at(const boost::json::object& in, std::string_view name);
const boost::json::object& object_at(const boost::json::object& in, std::string_view name);
const boost::json::array& array_at(const boost::json::object& in, std::string_view name);

std::string joined(const std::vector<std::string>& texts, std::string_view by = ",");

// Indented by four, as istioctl does; ends with a line break.
std::string pretty(const boost::json::value& value);
// The same as YAML.
std::string yaml(const boost::json::value& value);

}  // namespace culvert::cli::print
