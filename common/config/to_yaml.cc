#include "common/config/to_yaml.h"

#include <boost/json.hpp>

namespace culvert::config {
namespace {

namespace json = boost::json;

bool is_block(const json::value& value) {
  return (value.is_object() && !value.as_object().empty()) || (value.is_array() && !value.as_array().empty());
}

// Writes a block; its first line goes on where the writing stands ("- name: x").
void write(const json::value& value, int depth, bool here, std::string& out) {
  const std::string indent(static_cast<std::size_t>(depth) * 2, ' ');
  const auto begin = [&] {
    if (!here) out += indent;
    here = false;
  };
  if (value.is_object()) {
    for (const auto& [name, item] : value.as_object()) {
      begin();
      const bool plain =
          name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-") == std::string_view::npos;
      out.append(plain ? std::string(name) : json::serialize(json::value(name))).append(":");
      if (is_block(item)) {
        out += '\n';
        write(item, depth + 1, false, out);
      } else {
        out.append(" ").append(json::serialize(item)).append("\n");
      }
    }
    return;
  }
  for (const json::value& item : value.as_array()) {
    begin();
    out += "- ";
    if (is_block(item)) write(item, depth + 1, true, out);
    else out.append(json::serialize(item)).append("\n");
  }
}

}  // namespace

std::string to_yaml(const json::value& value) {
  std::string out;
  if (is_block(value)) write(value, 0, false, out);
  else out = json::serialize(value) + "\n";
  return out;
}

}  // namespace culvert::config
