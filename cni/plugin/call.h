#pragma once
// What a container runtime says to the plugin (CNI specification 0.3.0 to 1.1.0): the environment and standard input, as one value. Pure.

#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace culvert::plugin {

enum class Command : std::uint8_t { kAdd, kDel, kCheck, kStatus, kGc, kVersion };

// Our entry of the conflist, as cni/install writes it.
struct Settings {
  std::string agent_socket = "/var/run/culvert/agent.sock";
  std::vector<std::string> exclude_namespaces = {};  // their pods never belong to the mesh: nobody is asked
  std::string own_namespace = {};                    // where Culvert is installed
  std::vector<std::string> own_pods = {};            // beginnings of names there: what the mesh is made of starts without it
  bool standalone = false;                           // no list's last, but called by itself (Multus)
};

// Of Kubernetes; empty names when the runtime does not speak for a kubelet.
struct Pod {
  std::string name_space, name, uid;
};

struct Call {
  Command command = Command::kVersion;
  std::string version = {};  // of the conflist, which is what we answer in
  std::string container = {}, netns = {}, interface = {};
  Pod pod = {};
  std::string previous = {};                // the result of the plugins before us, byte for byte; empty when there is none
  std::vector<std::string> addresses = {};  // in it
  Settings settings = {};
};

// As the specification tells failures; `code` is one of its numbers.
struct Failure {
  static constexpr int kVersion = 1, kEnvironment = 4, kInput = 5, kDecode = 6, kNetwork = 7, kAgain = 11, kUnavailable = 50;
  int code = kInput;
  std::string message = {};
  std::string version = {};  // to answer in; empty: not known
};

inline constexpr std::size_t kMaxInput = 4 * 1024 * 1024;

using Lookup = std::function<std::optional<std::string>(const char* name)>;
std::expected<Call, Failure> read_call(const Lookup& environment, std::string_view input);

}  // namespace culvert::plugin
