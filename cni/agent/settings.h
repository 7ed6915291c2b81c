#pragma once
// The settings of culvert-node.

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "cni/agent/enrol.h"
#include "common/base/settings.h"

namespace culvert::agent {

struct Settings {
  std::string node_name;
  std::filesystem::path config_dir;
  std::filesystem::path pin_dir = "/sys/fs/bpf/culvert";
  std::filesystem::path ztunnel_socket = "/var/run/ztunnel/ztunnel.sock";
  std::filesystem::path cgroup_root;
  std::vector<std::string> kubelet_cgroups;
  Rules rules;
  std::uint16_t metrics_port = 15014;   // all addresses
  std::uint16_t readiness_port = 8000;  // all addresses
  std::uint16_t admin_port = 9876;      // localhost
  std::chrono::milliseconds finish_grace{1000};
  std::chrono::milliseconds socket_grace{30000};
  std::chrono::milliseconds upgrade_patience{30000};  // twice the longest pause between a ztunnel's attempts to connect to us
  std::string log_level = "info";
  std::string log_format = "plain";
  bool unload = false;

  // The rows refer to this object's fields.
  settings::Table table();
};

}  // namespace culvert::agent
