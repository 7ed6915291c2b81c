#pragma once
// The settings of culvertd.

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "common/base/settings.h"
#include "controlplane/ca/rotation.h"

namespace culvert::controlplane {

// A name that no other replica has, where nobody gives us one.
std::string own_name();

// What a Job of the charts has to do around `helm uninstall` (controlplane/uninstall.h).
enum class Uninstall : std::uint8_t { kNone, kAgents, kTraces };

struct Settings {
  std::filesystem::path config_dir;  // empty: the Kubernetes API
  std::filesystem::path kubeconfig;  // empty: as a pod
  std::string context;
  std::string system_namespace = "istio-system";
  std::string pod_name;  // empty: own_name()
  std::vector<std::string> token_audiences = {"istio-ca"};
  std::vector<std::string> trusted_node_accounts = {"istio-system/ztunnel"};
  std::chrono::seconds token_review_ttl{60};
  std::filesystem::path data_dir = "/var/lib/culvert/culvertd";
  std::filesystem::path tokens;
  std::vector<std::string> names = {"culvertd.istio-system.svc", "istiod.istio-system.svc", "localhost", "127.0.0.1", "::1"};
  std::string address = "[::]:15012";
  std::string plaintext_address;       // empty: none
  std::uint16_t metrics_port = 15014;  // all addresses
  std::uint16_t debug_port = 8080;     // localhost
  bool debug_on_localhost = true;
  std::uint16_t webhook_port = 15017;  // all addresses, TLS; 0: none
  std::string webhook_url;             // empty: by the Service
  std::uint16_t bundle_port = 0;       // with config_dir; all addresses, TLS; 0: none
  std::string cluster_id = "Kubernetes";
  std::string trust_domain = "cluster.local";
  std::string cluster_domain = "cluster.local";
  std::string root_namespace = "istio-system";
  bool dry_run_policies = false;
  std::chrono::seconds default_lifetime = std::chrono::hours(24);
  std::chrono::seconds max_lifetime{0};  // 0: longest_lifetime()
  std::chrono::seconds root_overlap = std::chrono::hours(24);
  std::chrono::seconds root_lifetime = std::chrono::hours(24 * 3650);
  std::chrono::seconds root_check = std::chrono::hours(1);
  std::uint16_t root_grace_percent = 20;
  std::vector<std::string> trusted_authorities;
  std::string k8s_signer;  // empty: none
  std::string ca_addr;     // empty: none
  std::string ca_root_ca;  // of ca_addr's own certificate
  std::string ca_token = "./var/run/secrets/tokens/istio-token";
  std::filesystem::path signer_roots;  // what certificates of either chain to
  std::chrono::milliseconds max_connection_age = std::chrono::minutes(30);
  std::uint32_t max_connections = 10'000;
  std::uint32_t max_connections_per_address = 4'000;
  std::uint32_t max_unproved_connections = 1'000;
  std::uint32_t max_unproved_per_address = 250;
  std::chrono::milliseconds proof_timeout = std::chrono::seconds(30);
  std::string log_level = "info";
  std::string log_format = "plain";
  Uninstall uninstall = Uninstall::kNone;

  // The rows refer to this object's fields.
  settings::Table table();
  bool signs_elsewhere() const { return !k8s_signer.empty() || !ca_addr.empty(); }
  std::chrono::seconds longest_lifetime() const;
  RotationPolicy rotation() const;
  // What no row can say by itself.
  Status check() const;
};

}  // namespace culvert::controlplane
