#include "cni/plugin/call.h"

#include <algorithm>
#include <array>
#include <utility>

#include "cni/json/text.h"
#include "common/base/format.h"

namespace culvert::plugin {
namespace {

constexpr std::array<std::pair<std::string_view, Command>, 6> kCommands = {{{"ADD", Command::kAdd},
                                                                            {"DEL", Command::kDel},
                                                                            {"CHECK", Command::kCheck},
                                                                            {"STATUS", Command::kStatus},
                                                                            {"GC", Command::kGc},
                                                                            {"VERSION", Command::kVersion}}};
constexpr std::array<std::string_view, 5> kVersions = {"0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"};

// The first version that has the command.
std::string_view first_version(Command command) {
  switch (command) {
    case Command::kCheck: return "0.4.0";
    case Command::kStatus:
    case Command::kGc: return "1.1.0";
    default: return kVersions.front();
  }
}

bool of_sandbox(Command command) { return command == Command::kAdd || command == Command::kDel || command == Command::kCheck; }

std::unexpected<Failure> fail(int code, std::string message, std::string version) {
  return std::unexpected(Failure{.code = code, .message = std::move(message), .version = std::move(version)});
}

// "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0"
std::string argument(std::string_view arguments, std::string_view name) {
  while (!arguments.empty()) {
    const auto end = arguments.find(';');
    const auto one = arguments.substr(0, end);
    arguments = end == arguments.npos ? std::string_view() : arguments.substr(end + 1);
    if (one.starts_with(name) && one.substr(name.size()).starts_with('=')) return std::string(one.substr(name.size() + 1));
  }
  return {};
}

Settings settings_of(std::string_view input) {
  Settings settings;
  if (auto socket = json::text_of(json::find(input, "agent_socket")); !socket.empty()) settings.agent_socket = std::move(socket);
  settings.exclude_namespaces = json::strings_of(json::find(input, "exclude_namespaces"));
  settings.own_namespace = json::text_of(json::find(input, "own_namespace"));
  settings.own_pods = json::strings_of(json::find(input, "own_pods"));
  settings.standalone = json::find(input, "standalone") == "true";
  return settings;
}

std::vector<std::string> addresses_of(std::string_view result) {
  std::vector<std::string> addresses;
  for (const auto ip : json::elements(json::find(result, "ips"))) {
    const auto text = json::text_of(json::find(ip, "address"));
    if (!text.empty()) addresses.push_back(text.substr(0, text.find('/')));
  }
  return addresses;
}

std::expected<void, Failure> read_sandbox(const Lookup& environment, Call& call) {
  const auto get = [&](const char* name) { return environment(name).value_or(""); };
  call.container = get("CNI_CONTAINERID");
  call.netns = get("CNI_NETNS");
  call.interface = get("CNI_IFNAME");
  std::string missing;
  if (call.container.empty()) missing = "CNI_CONTAINERID";
  if (call.interface.empty()) missing = "CNI_IFNAME";
  if (call.netns.empty() && call.command != Command::kDel) missing = "CNI_NETNS";
  if (!missing.empty()) return fail(Failure::kEnvironment, missing + " is not set: the runtime has to say it", call.version);
  const auto arguments = get("CNI_ARGS");
  call.pod = {.name_space = argument(arguments, "K8S_POD_NAMESPACE"),
              .name = argument(arguments, "K8S_POD_NAME"),
              .uid = argument(arguments, "K8S_POD_UID")};
  return {};
}

}  // namespace

std::expected<Call, Failure> read_call(const Lookup& environment, std::string_view input) {
  const auto word = environment("CNI_COMMAND").value_or("");
  const auto command = std::ranges::find(kCommands, word, &std::pair<std::string_view, Command>::first);
  if (command == kCommands.end())
    return fail(Failure::kEnvironment,
                culvert::format("CNI_COMMAND is \"{}\": culvert-cni is called by a container runtime", word), "");
  if (input.size() > kMaxInput)
    return fail(Failure::kInput, culvert::format("the configuration is longer than {} bytes", kMaxInput), "");
  if (auto checked = json::check(input); !checked)
    return fail(Failure::kDecode, "the configuration: " + checked.error().text, "");
  if (!json::is_object(input.substr(std::min(input.find_first_not_of(" \t\r\n"), input.size()))))
    return fail(Failure::kDecode, "the configuration is no JSON object", "");

  Call call{.command = command->second, .version = json::text_of(json::find(input, "cniVersion"))};
  if (call.command == Command::kVersion) return call;
  if (!std::ranges::contains(kVersions, call.version))
    return fail(
        Failure::kVersion,
        culvert::format("the configuration is of CNI version \"{}\": 0.3.0, 0.3.1, 0.4.0, 1.0.0 and 1.1.0 are spoken here",
                        call.version),
        "");
  if (call.version < first_version(call.command))
    return fail(Failure::kVersion, culvert::format("CNI version {} has no {}", call.version, word), call.version);
  call.settings = settings_of(input);
  const auto previous = json::find(input, "prevResult");
  if (json::is_object(previous)) call.previous = previous;
  call.addresses = addresses_of(previous);
  if (of_sandbox(call.command)) {
    if (auto read = read_sandbox(environment, call); !read) return std::unexpected(read.error());
  }
  if (call.settings.standalone && call.previous.empty())
    call.previous = culvert::format("{{\"cniVersion\":\"{}\"}}\n", call.version);
  if (call.command == Command::kAdd && call.previous.empty())
    return fail(Failure::kNetwork,
                "there is no prevResult: culvert-cni comes after the plugins that connect a pod, in their conflist",
                call.version);
  return call;
}

}  // namespace culvert::plugin
