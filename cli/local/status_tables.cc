#include <boost/json.hpp>

#include "cli/local/commands.h"
#include "cli/print/json.h"
#include "cli/print/table.h"
#include "common/base/format.h"

namespace culvert::local {
namespace {

namespace json = boost::json;

constexpr std::size_t kPadding = 3;

std::string joined(const json::value& list) {
  std::string result;
  for (const auto& item : list.as_array()) result.append(result.empty() ? "" : ",").append(item.as_string());
  return result;
}

std::string state(const json::object& program) {
  if (!program.at("wanted").as_bool()) return "stopped";
  if (program.at("running").as_bool()) return "running";
  return "down (" + cli::print::text_at(program, "last_end") + ")";
}

}  // namespace

std::string status_tables(const std::string& answer) {
  const auto world = json::parse(answer).as_object();
  std::vector<cli::print::Row> programs{{"NODE", "ADDRESSES", "PROGRAM", "STATE", "RESTARTS"}};
  const auto add = [&](const std::string& node, const std::string& addresses, const json::object& program) {
    const std::string name = cli::print::text_at(program, "name");
    programs.push_back(
        {node, addresses, name.substr(name.find('/') + 1), state(program), std::to_string(program.at("restarts").as_int64())});
  };
  if (const auto* control = world.if_contains("culvertd")) add("control", "172.30.0.1,fd00:172:30::1", control->as_object());
  for (const auto& value : world.at("nodes").as_array()) {
    const auto& node = value.as_object();
    for (const auto& program : node.at("programs").as_array())
      add(cli::print::text_at(node, "name"), joined(node.at("addresses")), program.as_object());
  }
  std::vector<cli::print::Row> pods{{"NAMESPACE", "POD", "NODE", "ADDRESSES", "READY", "RESTARTS", "MESH", "IDENTITY"}};
  std::string troubles;
  for (const auto& value : world.at("pods").as_array()) {
    const auto& pod = value.as_object();
    pods.push_back({cli::print::text_at(pod, "namespace"), cli::print::text_at(pod, "name"), cli::print::text_at(pod, "node"),
                    joined(pod.at("addresses")), pod.at("ready").as_bool() ? "yes" : "no",
                    std::to_string(pod.at("restarts").as_int64()), cli::print::text_at(pod, "mesh"),
                    cli::print::text_at(pod, "identity")});
    if (const auto trouble = cli::print::text_at(pod, "trouble"); !trouble.empty())
      troubles +=
          culvert::format("pod {}/{}: {}\n", cli::print::text_at(pod, "namespace"), cli::print::text_at(pod, "name"), trouble);
  }
  for (const auto& problem : world.at("problems").as_array()) troubles += std::string(problem.as_string()) + "\n";
  return cli::print::table(programs, kPadding) + "\n" + cli::print::table(pods, kPadding) +
         (troubles.empty() ? "" : "\n" + troubles);
}

}  // namespace culvert::local
