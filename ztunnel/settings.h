#pragma once
// The settings of ztunnel, by the names of Istio's environment variables where they exist (protocols.md §6.8). Read once at start.

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "common/base/settings.h"

namespace culvert::ztunnel {

// ZTUNNEL_WORKER_THREADS: a number, a part of the machine's cores ("25%"), or 0 for all of them.
struct WorkerThreads {
  std::uint16_t count = 0;
  std::uint16_t percent = 25;  // used when count is not set
  bool all = false;

  // How many threads that is on a machine of so many cores; a share of the cores is never less than two.
  unsigned on(unsigned cores) const;
};

struct Settings {
  // who and where we are
  std::string node_name, pod_name, pod_namespace, service_account, instance_ip;
  std::string cluster_id = "Kubernetes", cluster_domain = "cluster.local", network;
  // where configuration and certificates come from
  std::string xds_address = "https://istiod.istio-system.svc:15012", ca_address = "https://istiod.istio-system.svc:15012";
  std::string xds_root_ca = "./var/run/secrets/istio/root-cert.pem", ca_root_ca = "./var/run/secrets/istio/root-cert.pem";
  std::string alt_xds_hostname, alt_ca_hostname;
  std::string auth_token = "./var/run/secrets/tokens/istio-token";
  std::filesystem::path local_xds_path;
  std::chrono::seconds secret_ttl = std::chrono::hours(24);
  bool fake_ca = false;
  // pods
  std::filesystem::path inpod_uds = "/var/run/ztunnel/ztunnel.sock";
  WorkerThreads worker_threads;
  bool ipv6_enabled = true;
  bool dns_capture = true;
  std::string preferred_service_namespace;
  // tunnels
  std::uint32_t pool_max_streams = 100;
  std::chrono::seconds pool_unused_release = std::chrono::minutes(5);
  bool response_baggage = true;
  // draining
  std::optional<std::chrono::milliseconds> termination_deadline;
  std::uint32_t grace_period_seconds = 0;  // 0: not told
  // what we show
  std::uint16_t admin_port = 15000, stats_port = 15020, readiness_port = 15021;
  std::string log_directive = "info", log_format = "plain";
  bool policy_info_logging = false;

  // How long live connections may go on after SIGTERM (protocols.md §6.5).
  std::chrono::milliseconds drain_deadline() const;
};

// One row for every setting; the rows refer to `settings`.
void describe(Settings& settings, settings::Table& table);

// What Istio's ztunnel would do and we do not. Fails on what must not be left undone in silence: whoever asks for revocation lists means
// them. The rest is returned, a line each, to be warned about.
Result<std::vector<std::string>> unsupported(const Settings& settings, const settings::Table::Lookup& environment);

}  // namespace culvert::ztunnel

template <>
struct culvert::settings::Value<culvert::ztunnel::WorkerThreads> {
  static constexpr std::string_view kUnit = "number | N%";
  static Result<ztunnel::WorkerThreads> parse(std::string_view text);
  static std::string print(const ztunnel::WorkerThreads& value);
};
