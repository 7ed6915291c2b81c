#include <algorithm>
#include <boost/json.hpp>
#include <format>

#include "cli/local/commands.h"

namespace culvert::local {
namespace {

namespace json = boost::json;

std::string text(const json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->as_string()) : std::string();
}

std::string joined(const json::value& list) {
  std::string result;
  for (const auto& item : list.as_array()) result.append(result.empty() ? "" : ",").append(item.as_string());
  return result;
}

// Columns as wide as their longest cell, three blanks between them.
std::string table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string result;
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i)
      result += i + 1 == row.size() ? row[i] : std::format("{:<{}}   ", row[i], widths[i]);
    result += '\n';
  }
  return result;
}

std::string state(const json::object& program) {
  if (!program.at("wanted").as_bool()) return "stopped";
  if (program.at("running").as_bool()) return "running";
  return "down (" + text(program, "last_end") + ")";
}

}  // namespace

std::string status_tables(const std::string& answer) {
  const auto world = json::parse(answer).as_object();
  std::vector<std::vector<std::string>> programs{{"NODE", "ADDRESSES", "PROGRAM", "STATE", "RESTARTS"}};
  const auto add = [&](const std::string& node, const std::string& addresses, const json::object& program) {
    const std::string name = text(program, "name");
    programs.push_back(
        {node, addresses, name.substr(name.find('/') + 1), state(program), std::to_string(program.at("restarts").as_int64())});
  };
  if (const auto* control = world.if_contains("culvertd")) add("control", "172.30.0.1,fd00:172:30::1", control->as_object());
  for (const auto& value : world.at("nodes").as_array()) {
    const auto& node = value.as_object();
    for (const auto& program : node.at("programs").as_array())
      add(text(node, "name"), joined(node.at("addresses")), program.as_object());
  }
  std::vector<std::vector<std::string>> pods{{"NAMESPACE", "POD", "NODE", "ADDRESSES", "READY", "RESTARTS", "MESH", "IDENTITY"}};
  std::string troubles;
  for (const auto& value : world.at("pods").as_array()) {
    const auto& pod = value.as_object();
    pods.push_back({text(pod, "namespace"), text(pod, "name"), text(pod, "node"), joined(pod.at("addresses")),
                    pod.at("ready").as_bool() ? "yes" : "no", std::to_string(pod.at("restarts").as_int64()), text(pod, "mesh"),
                    text(pod, "identity")});
    if (const auto trouble = text(pod, "trouble"); !trouble.empty())
      troubles += std::format("pod {}/{}: {}\n", text(pod, "namespace"), text(pod, "name"), trouble);
  }
  for (const auto& problem : world.at("problems").as_array()) troubles += std::string(problem.as_string()) + "\n";
  return table(programs) + "\n" + table(pods) + (troubles.empty() ? "" : "\n" + troubles);
}

}  // namespace culvert::local
