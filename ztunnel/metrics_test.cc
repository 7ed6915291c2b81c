#include "ztunnel/metrics.h"

#include <gtest/gtest.h>

#include "common/base/format.h"
#include "common/base/version.h"

namespace culvert::ztunnel {
namespace {

model::WorkloadRef workload(std::string name) {
  model::Workload out;
  out.name = name + "-1", out.name_space = "shop", out.workload_name = out.canonical_name = name;
  return std::make_shared<const model::Workload>(std::move(out));
}

// Everything once: what dashboards and alerts are written against.
TEST(Metrics, AreThoseOfIstioAndOurOwn) {
  Counters counters;
  Facts facts;
  facts.source_workload = workload("client");
  facts.destination_workload = workload("server");
  facts.source_identity = Identity{"td", "shop", "client"};
  Traffic& traffic = counters.traffic(facts).traffic;
  traffic.opened = 3;
  traffic.closed[0] = 1;
  traffic.closed[1] = 1;
  traffic.sent[0] = 20;
  traffic.received[0] = 10;
  counters.ended(Reporter::kSource, Reason::kPolicyDenied);
  counters.open(Reporter::kSource, 1);
  DnsCounts& dns = counters.dns(nullptr, "a", false);
  dns.requests = 3, dns.forwarded = 2, dns.failed = 1, dns.took[1] = 1, dns.seconds = 0.0625;
  for (int i = 0; i < 7; ++i) counters.dns_dropped(true);
  Figures figures{.counts = counters.counts(), .xds = {}};
  figures.xds.messages["type"] = 2;
  figures.xds.message_bytes["type"] = 100;
  figures.xds.reconnects = 1;
  figures.proxies_active = 2;
  figures.workers = 2;

  const std::string labels =
      R"(reporter="source",source_workload="client",source_canonical_service="client",source_canonical_revision="unknown",)"
      R"(source_workload_namespace="shop",source_principal="spiffe://td/ns/shop/sa/client",source_app="client",source_version="unknown",)"
      R"(source_cluster="Kubernetes",destination_service="unknown",destination_service_namespace="unknown",)"
      R"(destination_service_name="unknown",destination_workload="server",destination_canonical_service="server",)"
      R"(destination_canonical_revision="unknown",destination_workload_namespace="shop",destination_principal="unknown",)"
      R"(destination_app="server",destination_version="unknown",destination_cluster="Kubernetes",request_protocol="tcp",)";
  const auto line = [&](const char* name, const char* flag, int value) {
    return culvert::format("{}{{{}response_flags=\"{}\",connection_security_policy=\"mutual_tls\"}} {}\n", name, labels, flag,
                           value);
  };
  const std::string dns_labels =
      R"(request_query_type="a",request_protocol="udp",source_canonical_service="unknown",source_canonical_revision="unknown")";

  EXPECT_EQ(
      metrics_text(figures),
      "# HELP istio_tcp_connections_opened_total TCP connections opened\n# TYPE istio_tcp_connections_opened_total counter\n" +
          line("istio_tcp_connections_opened_total", "-", 3) +
          "# HELP istio_tcp_connections_closed_total TCP connections closed\n"
          "# TYPE istio_tcp_connections_closed_total counter\n" +
          line("istio_tcp_connections_closed_total", "-", 1) + line("istio_tcp_connections_closed_total", "DENY", 1) +
          "# HELP istio_tcp_connections_failed_total TCP connections that did not end as the applications wished\n"
          "# TYPE istio_tcp_connections_failed_total counter\n" +
          line("istio_tcp_connections_failed_total", "DENY", 1) +
          "# HELP istio_tcp_sent_bytes_total Bytes from servers to clients\n# TYPE istio_tcp_sent_bytes_total counter\n" +
          line("istio_tcp_sent_bytes_total", "-", 20) +
          "# HELP istio_tcp_received_bytes_total Bytes from clients to servers\n"
          "# TYPE istio_tcp_received_bytes_total counter\n" +
          line("istio_tcp_received_bytes_total", "-", 10) +
          "# HELP culvert_connections_ended_total Connections by the reason they ended, those refused early included\n"
          "# TYPE culvert_connections_ended_total counter\n"
          "culvert_connections_ended_total{reporter=\"source\",reason=\"policy_denied\"} 1\n"
          "# HELP istio_tcp_sockets_open Connections that live now\n# TYPE istio_tcp_sockets_open gauge\n"
          "istio_tcp_sockets_open{reporter=\"source\"} 1\nistio_tcp_sockets_open{reporter=\"destination\"} 0\n"
          "# HELP istio_dns_requests_total DNS queries of pods\n# TYPE istio_dns_requests_total counter\n"
          "istio_dns_requests_total{" +
          dns_labels +
          "} 3\n"
          "# HELP istio_dns_upstream_requests_total DNS queries handed to the resolver that the pod asked\n"
          "# TYPE istio_dns_upstream_requests_total counter\nistio_dns_upstream_requests_total{" +
          dns_labels +
          "} 2\n"
          "# HELP istio_dns_upstream_failures_total DNS queries that the resolver did not answer\n"
          "# TYPE istio_dns_upstream_failures_total counter\nistio_dns_upstream_failures_total{" +
          dns_labels +
          "} 1\n"
          "# HELP istio_dns_upstream_request_duration_seconds Time the resolver took\n"
          "# TYPE istio_dns_upstream_request_duration_seconds histogram\n"
          "istio_dns_upstream_request_duration_seconds_bucket{" +
          dns_labels +
          ",le=\"0.0005\"} 0\n"
          "istio_dns_upstream_request_duration_seconds_bucket{" +
          dns_labels +
          ",le=\"0.001\"} 1\n"
          "istio_dns_upstream_request_duration_seconds_bucket{" +
          dns_labels +
          ",le=\"0.01\"} 1\n"
          "istio_dns_upstream_request_duration_seconds_bucket{" +
          dns_labels +
          ",le=\"0.1\"} 1\n"
          "istio_dns_upstream_request_duration_seconds_bucket{" +
          dns_labels +
          ",le=\"1\"} 1\n"
          "istio_dns_upstream_request_duration_seconds_bucket{" +
          dns_labels +
          ",le=\"5\"} 1\n"
          "istio_dns_upstream_request_duration_seconds_bucket{" +
          dns_labels +
          ",le=\"+Inf\"} 2\n"
          "istio_dns_upstream_request_duration_seconds_sum{" +
          dns_labels +
          "} 0.0625\n"
          "istio_dns_upstream_request_duration_seconds_count{" +
          dns_labels +
          "} 2\n"
          "# HELP culvert_dns_requests_dropped_total DNS queries and connections past a limit, and queries too long\n"
          "# TYPE culvert_dns_requests_dropped_total counter\n"
          "culvert_dns_requests_dropped_total{request_protocol=\"udp\"} 0\n"
          "culvert_dns_requests_dropped_total{request_protocol=\"tcp\"} 7\n"
          "# HELP istio_build Our version\n# TYPE istio_build gauge\nistio_build{component=\"ztunnel\",tag=\"" +
          std::string(kVersion) +
          "\"} 1\n"
          "# HELP istio_xds_connection_terminations_total Ends of the stream from the control plane\n"
          "# TYPE istio_xds_connection_terminations_total counter\n"
          "istio_xds_connection_terminations_total{reason=\"ConnectionError\"} 0\n"
          "istio_xds_connection_terminations_total{reason=\"Error\"} 0\n"
          "istio_xds_connection_terminations_total{reason=\"Reconnect\"} 1\n"
          "istio_xds_connection_terminations_total{reason=\"Complete\"} 0\n"
          "# HELP istio_xds_message_total Messages from the control plane\n# TYPE istio_xds_message_total counter\n"
          "istio_xds_message_total{url=\"type\"} 2\n"
          "# HELP istio_xds_message_bytes_total Bytes from the control plane\n# TYPE istio_xds_message_bytes_total counter\n"
          "istio_xds_message_bytes_total{url=\"type\"} 100\n"
          "# HELP culvert_xds_refused_resources_total Resources that could not be used\n"
          "# TYPE culvert_xds_refused_resources_total counter\nculvert_xds_refused_resources_total 0\n"
          "# HELP workload_manager_active_proxy_count Pods whose proxy runs\n# TYPE workload_manager_active_proxy_count gauge\n"
          "workload_manager_active_proxy_count 2\n"
          "# HELP workload_manager_pending_proxy_count Pods whose proxy could not be started yet\n"
          "# TYPE workload_manager_pending_proxy_count gauge\nworkload_manager_pending_proxy_count 0\n"
          "# HELP workload_manager_proxies_started_total Proxies started\n# TYPE workload_manager_proxies_started_total counter\n"
          "workload_manager_proxies_started_total 0\n"
          "# HELP workload_manager_proxies_stopped_total Proxies stopped\n# TYPE workload_manager_proxies_stopped_total counter\n"
          "workload_manager_proxies_stopped_total 0\n"
          "# HELP culvert_tunnels Tunnels to other pods that are open\n# TYPE culvert_tunnels gauge\nculvert_tunnels 0\n"
          "# HELP culvert_tunnel_streams Connections in those tunnels\n# TYPE culvert_tunnel_streams gauge\n"
          "culvert_tunnel_streams 0\n"
          "# HELP culvert_tunnel_connects_total Tunnels that were dialled\n# TYPE culvert_tunnel_connects_total counter\n"
          "culvert_tunnel_connects_total 0\n"
          "# HELP culvert_tunnel_connect_failures_total Tunnels that did not come about\n"
          "# TYPE culvert_tunnel_connect_failures_total counter\nculvert_tunnel_connect_failures_total 0\n"
          "# HELP culvert_log_lines_dropped_total Log lines lost because the reader of our output was too slow\n"
          "# TYPE culvert_log_lines_dropped_total counter\nculvert_log_lines_dropped_total 0\n"
          "# HELP culvert_workers Threads that carry traffic\n# TYPE culvert_workers gauge\nculvert_workers 2\n");
}

}  // namespace
}  // namespace culvert::ztunnel
