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

inline constexpr std::string_view kAgentSocket = "/var/run/culvert/agent.sock";

struct Settings {
  std::string node_name;
  std::filesystem::path config_dir;
  std::filesystem::path kubeconfig;
  std::string context;
  std::string own_namespace = "istio-system";
  std::filesystem::path pin_dir = "/sys/fs/bpf/culvert";
  std::filesystem::path ztunnel_socket = "/var/run/ztunnel/ztunnel.sock";
  std::filesystem::path agent_socket;  // empty: kAgentSocket on Kubernetes, none with a folder
  std::chrono::milliseconds add_patience{10000};
  std::filesystem::path cni_bin_dir;  // empty: the plugin is not installed
  std::filesystem::path cni_net_dir = "/host/etc/cni/net.d";
  std::filesystem::path cni_program;  // empty: beside our own
  std::string cni_conf_name;
  bool cni_chained = true;
  bool cni_own_config = true;
  std::vector<std::string> own_pods = {"culvert-node-", "culvertd-", "istiod-", "ztunnel-"};
  std::string daemonset = "culvert-node";
  std::chrono::milliseconds leave_patience{100000};
  std::string startup_taint;
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

  bool kubernetes() const { return config_dir.empty(); }

  // The rows refer to this object's fields.
  settings::Table table();
};

}  // namespace culvert::agent
