#include "cli/print/json.h"

#include <boost/json.hpp>

#include "common/config/to_yaml.h"

namespace culvert::cli::print {
namespace {

namespace json = boost::json;

void write(const json::value& value, std::size_t depth, std::string& out) {
  const std::string outer(depth * 4, ' '), inner((depth + 1) * 4, ' ');
  const bool object = value.is_object();
  if ((object && value.as_object().empty()) || (value.is_array() && value.as_array().empty()) || (!object && !value.is_array())) {
    out += json::serialize(value);
    return;
  }
  out += object ? '{' : '[';
  bool first = true;
  const auto begin = [&] {
    out += first ? "\n" : ",\n";
    out += inner;
    first = false;
  };
  if (object) {
    for (const auto& [name, member] : value.as_object()) {
      begin();
      out.append(json::serialize(json::value(name))).append(": ");
      write(member, depth + 1, out);
    }
  } else {
    for (const json::value& item : value.as_array()) {
      begin();
      write(item, depth + 1, out);
    }
  }
  out.append("\n").append(outer).append(1, object ? '}' : ']');
}

}  // namespace

std::string text_at(const json::object& in, std::string_view name) {
  const auto* value = in.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->as_string()) : std::string();
}

std::uint64_t number_at(const json::object& in, std::string_view name) {
  const auto* value = in.if_contains(name);
  boost::system::error_code error;
  const auto number = value == nullptr ? 0 : value->to_number<std::uint64_t>(error);
  return error ? 0 : number;
}

bool flag_at(const json::object& in, std::string_view name, bool fallback) {
  const auto* value = in.if_contains(name);
  return value != nullptr && value->is_bool() ? value->as_bool() : fallback;
}

std::vector<std::string> texts_at(const json::object& in, std::string_view name) {
  std::vector<std::string> out;
  for (const auto& one : array_at(in, name))
    if (one.is_string()) out.emplace_back(one.as_string());
  return out;
}

std::string joined(const std::vector<std::string>& texts, std::string_view by) {
  std::string out;
  for (const std::string& text : texts) out.append(out.empty() ? "" : by).append(text);
  return out;
}

const json::object& object_at(const json::object& in, std::string_view name) {
  static const json::object none;
  const auto* value = in.if_contains(name);
  return value != nullptr && value->is_object() ? value->as_object() : none;
}

const json::array& array_at(const json::object& in, std::string_view name) {
  static const json::array none;
  const auto* value = in.if_contains(name);
  return value != nullptr && value->is_array() ? value->as_array() : none;
}

std::string pretty(const json::value& value) {
  std::string out;
  write(value, 0, out);
  return out + "\n";
}

std::string yaml(const json::value& value) { return config::to_yaml(value); }

}  // namespace culvert::cli::print
