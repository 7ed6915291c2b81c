#include <boost/json.hpp>

#include "cli/ask/page.h"
#include "cli/local/control.h"

namespace culvert::cli {
namespace {

namespace json = boost::json;

constexpr std::uint16_t kMonitoring = 15014, kZtunnelAdmin = 15000;

Result<json::object> read(const local::Message& answer) {
  boost::system::error_code failed;
  json::value value = json::parse(answer.text, failed);
  if (failed || !value.is_object()) return failure("the world's answer is not understood (is it of another version?)");
  if (const auto* error = value.as_object().if_contains("error")) return failure(std::string(error->as_string()));
  return std::move(value.as_object());
}

Result<local::Message> ask(const std::string& world, const json::object& request) {
  auto client = local::Client::open(world);
  if (!client) return std::unexpected(client.error());
  return client->ask(json::serialize(request));
}

// The world reads its folder before it answers this, and hands on what it read.
Status hand_on(const std::string& world) {
  const auto answer = ask(world, {{"do", "settle"}, {"patience_ms", 0}});
  if (!answer) return std::unexpected(answer.error());
  const auto status = read(*answer);
  if (!status) return std::unexpected(status.error());
  const auto* problems = status->if_contains("problems");
  if (problems == nullptr || !problems->is_array() || problems->as_array().empty()) return {};
  std::string text;
  for (const auto& problem : problems->as_array()) text += "\n" + json::value_to<std::string>(problem);
  return failure("the folder of world " + world + " is not in force as it is:" + text);
}

}  // namespace

namespace {

// A port of localhost in the network namespace of `place`, "control" or a node.
Result<Target> target_in(const std::string& world, const std::string& place, std::uint16_t port) {
  auto answer = ask(world, {{"do", "enter"}, {"target", place}, {"container", ""}});
  if (!answer) return std::unexpected(answer.error());
  const auto told = read(*answer);
  if (!told) return std::unexpected(told.error());
  Target target{.host = "127.0.0.1", .port = port};
  std::size_t next = 0;
  for (const auto& name : told->at("spaces").as_array()) {
    if (next < answer->fds.size() && name.is_string() && name.as_string() == "net")
      target.netns = std::make_shared<const Fd>(std::move(answer->fds[next]));
    ++next;
  }
  if (!target.netns) return failure("the world " + world + " does not say where its " + place + " is");
  return target;
}

}  // namespace

Result<Target> target_of_world(const std::string& world) {
  if (auto done = hand_on(world); !done) return std::unexpected(std::move(done).error());
  return target_in(world, "control", kMonitoring);
}

Result<Target> ztunnel_of_world(const std::string& world, const std::string& node) {
  return target_in(world, node, kZtunnelAdmin);
}

}  // namespace culvert::cli
