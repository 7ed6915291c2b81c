#pragma once
// A JSON value as YAML. Pure.

#include <boost/json/value.hpp>
#include <string>

namespace culvert::config {

// In the order of insertion, strings in double quotes.
std::string to_yaml(const boost::json::value& value);

}  // namespace culvert::config
