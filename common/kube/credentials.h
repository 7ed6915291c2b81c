#pragma once
// What a kubeconfig or a pod's folder says about us, before it becomes a Proof. Of this folder.

#include <sys/stat.h>

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/kube/access.h"
#include "common/net/task.h"

namespace culvert::kube {

constexpr std::size_t kLargestSecret = 4 * 1024 * 1024;  // and kubeconfigs

// A text that was given, or is in a file that may change.
struct Text {
  std::string file = {};  // empty: given
  std::string value = {};

  bool present() const { return !file.empty() || !value.empty(); }
  // Reads the file when it is another one than last time, or a minute has passed, or `anew`. True when `value` is another one now.
  // What was read before stays in force when it cannot be read.
  Result<bool> refresh(bool anew);

  // What refresh() remembers.
  struct timespec changed = {};
  ino_t number = 0;
  std::chrono::steady_clock::time_point read = {};
  std::string complaint = {};  // what was logged last
};

// A credential plugin (client.authentication.k8s.io): a program that prints a token or a certificate.
struct Plugin {
  std::string api_version = {};
  std::string command = {};
  std::vector<std::string> arguments = {};
  std::map<std::string, std::string> environment = {};  // on top of ours
  std::string info = {};                                // KUBERNETES_EXEC_INFO
  std::string hint = {};                                // how to install it
};
struct PluginAnswer {
  std::string token = {};
  std::string certificate = {};  // PEM, with its key = {}; both or none
  std::string key = {};
  std::optional<std::chrono::system_clock::time_point> expires = {};
};
// Runs it as a child, with no input, our standard error and a minute's patience. The child is killed with the task.
net::Task<Result<PluginAnswer>> run_plugin(net::Loop& loop, Plugin plugin, std::chrono::milliseconds patience);
// What it printed.
Result<PluginAnswer> read_plugin_answer(std::string_view json);

struct Credentials {
  Server server = {};
  std::string default_namespace = {};
  Text roots = {};
  Text token = {};
  Text certificate = {};
  Text key = {};
  std::optional<Plugin> plugin = {};
};

// `context` empty: the current one.
Result<Credentials> read_kubeconfig(const std::vector<std::string>& files, const std::string& context);

}  // namespace culvert::kube
