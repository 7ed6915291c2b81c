#include "ztunnel/settings.h"

#include <algorithm>
#include <cstdlib>

namespace culvert {

Result<ztunnel::WorkerThreads> settings::Value<ztunnel::WorkerThreads>::parse(std::string_view text) {
  const bool percent = text.ends_with('%');
  if (percent) text.remove_suffix(1);
  const auto number = parse_unsigned(text, percent ? 100 : 1024);
  if (!number) return std::unexpected(number.error());
  if (percent) return ztunnel::WorkerThreads{.percent = static_cast<std::uint16_t>(*number)};
  return ztunnel::WorkerThreads{.count = static_cast<std::uint16_t>(*number), .all = *number == 0};
}

std::string settings::Value<ztunnel::WorkerThreads>::print(const ztunnel::WorkerThreads& value) {
  if (value.all) return "0";
  return value.count != 0 ? std::to_string(value.count) : std::to_string(value.percent) + "%";
}

namespace ztunnel {

unsigned WorkerThreads::on(unsigned cores) const {
  if (all) return std::max(cores, 1U);
  if (count != 0) return count;
  return std::max(2U, (cores * percent + 99) / 100);
}

std::chrono::milliseconds Settings::drain_deadline() const {
  using namespace std::chrono_literals;
  if (termination_deadline) return *termination_deadline;
  if (grace_period_seconds == 0) return 5s;
  const std::chrono::seconds grace(grace_period_seconds);
  return grace > 10s ? grace - 5s : std::max<std::chrono::seconds>(grace - 1s, 1s);
}

namespace {

void describe_place(Settings& s, settings::Table& table) {
  table.add(s.node_name, {.env = "NODE_NAME", .doc = "the node that we run on; a pod's own workload must be on it"});
  table.add(s.pod_name, {.env = "POD_NAME", .doc = "our own pod, told to the control plane"});
  table.add(s.pod_namespace, {.env = "POD_NAMESPACE", .doc = "namespace of our own pod, told to the control plane"});
  table.add(s.service_account, {.env = "SERVICE_ACCOUNT", .doc = "our own service account, told to the control plane"});
  table.add(s.instance_ip, {.env = "INSTANCE_IP", .doc = "address of our own pod, told to the control plane"});
  table.add(s.cluster_id, {.env = "CLUSTER_ID", .doc = "name of our cluster, told to the control plane and in metrics"});
  table.add(s.cluster_id, {.env = "ISTIO_META_CLUSTER_ID", .doc = "the same; wins over CLUSTER_ID"});
  table.add(s.cluster_domain, {.env = "CLUSTER_DOMAIN", .doc = "DNS domain of the cluster"});
  table.add(s.network, {.env = "NETWORK", .doc = "network that this node is on"});
}

void describe_sources(Settings& s, settings::Table& table) {
  table.add(s.xds_address,
            {.env = "XDS_ADDRESS", .doc = "control plane, as https://host:port; empty: none", .may_be_empty = true});
  table.add(s.xds_root_ca, {.env = "XDS_ROOT_CA",
                            .doc = "what the control plane's certificate must chain to: a PEM file, the PEM text, or SYSTEM"});
  table.add(s.alt_xds_hostname,
            {.env = "ALT_XDS_HOSTNAME",
             .doc = "the name that the control plane's certificate must carry, instead of the address's host"});
  table.add(s.local_xds_path, {.env = "LOCAL_XDS_PATH",
                               .flag = "--config",
                               .doc = "take workloads, services and policies from this YAML file instead of a control plane; a "
                                      "change is picked up at once"});
  table.add(s.ca_address, {.env = "CA_ADDRESS", .doc = "certificate authority, as https://host:port", .may_be_empty = true});
  table.add(s.ca_root_ca, {.env = "CA_ROOT_CA",
                           .doc = "what the authority's own certificate must chain to: a PEM file, the PEM text, or SYSTEM"});
  table.add(s.alt_ca_hostname, {.env = "ALT_CA_HOSTNAME",
                                .doc = "the name that the authority's certificate must carry, instead of the address's host"});
  table.add(
      s.auth_token,
      {.env = "AUTH_TOKEN",
       .doc =
           "file with the bearer token for both (a name with a slash in it), read again for every call, or the token itself; the "
           "default one may be missing",
       .secret = true,
       .may_be_empty = true});
  table.add<std::chrono::seconds>(s.secret_ttl, {.env = "SECRET_TTL", .doc = "lifetime asked for in certificates"},
                                  [](const std::chrono::seconds& value) -> Status {
                                    return value > std::chrono::seconds(0) ? Status{} : failure("must be more than nothing");
                                  });
  table.add(s.fake_ca, {.env = "FAKE_CA", .doc = "not supported: Culvert holds no test authority"});
}

void describe_data_path(Settings& s, settings::Table& table) {
  table.add(s.inpod_uds, {.env = "INPOD_UDS", .doc = "socket of the node agent, which hands us the pods of this node"});
  table.add(s.worker_threads,
            {.env = "ZTUNNEL_WORKER_THREADS",
             .doc = "threads that carry traffic: a number, a part of the cores (at least two threads), or 0 for one per core"});
  table.add(s.ipv6_enabled, {.env = "IPV6_ENABLED", .doc = "listen for IPv6 in pods as well"});
  table.add(s.dns_capture, {.env = "ISTIO_META_DNS_CAPTURE", .doc = "answer the pods' DNS queries for services of the mesh"});
  table.add(s.preferred_service_namespace,
            {.env = "PREFERED_SERVICE_NAMESPACE", .doc = "of services with the same name, prefer those of this namespace"});
  table.add<std::uint32_t>(
      s.pool_max_streams,
      {.env = "POOL_MAX_STREAMS_PER_CONNECTION", .doc = "connections that one tunnel carries before another is opened"},
      [](const std::uint32_t& value) -> Status { return value > 0 ? Status{} : failure("must be at least 1"); });
  table.add(s.pool_unused_release,
            {.env = "POOL_UNUSED_RELEASE_TIMEOUT", .doc = "how long a tunnel without connections stays open"});
  table.add(s.response_baggage,
            {.env = "ENABLE_RESPONSE_BAGGAGE", .doc = "describe the destination workload in the answer to a CONNECT"});
  table.add(s.termination_deadline,
            {.env = "CONNECTION_TERMINATION_DEADLINE",
             .doc = "how long live connections may go on once we are told to end (unset: from the grace period, else 5 s)"});
  table.add(s.grace_period_seconds,
            {.env = "TERMINATION_GRACE_PERIOD_SECONDS", .unit = "seconds", .doc = "our pod's grace period"});
}

void describe_views(Settings& s, settings::Table& table) {
  table.add(s.admin_port, {.env = "CULVERT_ADMIN_PORT", .doc = "port of the admin pages, on localhost alone"});
  table.add(s.stats_port, {.env = "CULVERT_STATS_PORT", .doc = "port of the metrics"});
  table.add(s.readiness_port, {.env = "CULVERT_READINESS_PORT", .doc = "port of the readiness probe"});
  table.add(s.log_directive, {.env = "RUST_LOG", .doc = "log levels: LEVEL or SCOPE=LEVEL, comma-separated"});
  table.add(s.policy_info_logging, {.env = "AUTHZ_POLICY_INFO_LOGGING",
                                    .doc = "log what dry-run policies would have done at level info instead of debug"});
  table.choice(s.log_format, {.env = "LOG_FORMAT", .doc = "form of a log line"},
               {{"plain", std::string("plain")}, {"json", std::string("json")}});
}

}  // namespace

void describe(Settings& settings, settings::Table& table) {
  if (std::getenv("KUBERNETES_SERVICE_HOST") == nullptr) settings.xds_address = settings.ca_address = "https://localhost:15012";
  describe_place(settings, table);
  describe_sources(settings, table);
  describe_data_path(settings, table);
  describe_views(settings, table);
}

Result<std::vector<std::string>> unsupported(const Settings& settings, const settings::Table::Lookup& environment) {
  const auto value = [&](std::string_view name) { return environment(name).value_or(""); };
  if (settings.fake_ca) {
    return failure(
        "FAKE_CA is not supported: Culvert holds no test authority (point CA_ADDRESS at culvertd, or at any server of Istio's "
        "CreateCertificate)");
  }
  if (settings.ca_address.empty())
    return failure("CA_ADDRESS is empty: without certificates nothing can be carried (point it at culvertd)");
  if (!value("CRL_PATH").empty())
    return failure(
        "CRL_PATH is not supported: revoked certificates would be accepted (unset it to accept that, and keep SECRET_TTL short)");
  if (const auto mode = value("PROXY_MODE"); !mode.empty() && mode != "shared")
    return failure("PROXY_MODE=" + mode + " is not supported: one ztunnel serves all pods of its node (unset it)");
  std::vector<std::string> warnings;
  if (const auto on_demand = value("XDS_ON_DEMAND"); !on_demand.empty() && on_demand != "false")
    warnings.emplace_back("XDS_ON_DEMAND is not supported: the whole configuration is subscribed to");
  return warnings;
}

}  // namespace ztunnel
}  // namespace culvert
