#include "ztunnel/metrics.h"

#include <string_view>

#include "common/base/format.h"
#include "common/base/version.h"

namespace culvert::ztunnel {
namespace {

class Page {
 public:
  Page() { text_.reserve(64 * 1024); }

  void head(std::string_view name, std::string_view type, std::string_view help) {
    name_ = name;
    text_.append("# HELP ")
        .append(name)
        .append(" ")
        .append(help)
        .append("\n# TYPE ")
        .append(name)
        .append(" ")
        .append(type)
        .append("\n");
  }
  template <class Number>
  void line(std::string_view labels, Number value, std::string_view suffix = {}) {
    text_.append(name_).append(suffix);
    if (!labels.empty()) text_.append("{").append(labels).append("}");
    text_.append(" ").append(culvert::format("{}", value)).append("\n");
  }
  template <class Number>
  void single(std::string_view name, std::string_view type, std::string_view help, Number value) {
    head(name, type, help);
    line({}, value);
  }
  std::string take() { return std::move(text_); }

 private:
  std::string_view name_;
  std::string text_;
};

constexpr std::string_view kReporters[] = {"source", "destination"};

std::string labels(std::initializer_list<std::pair<std::string_view, std::string_view>> pairs) {
  std::string out;
  for (const auto& [name, value] : pairs) append_label(out, name, value);
  return out;
}

// One line for every label set and every response flag that was seen.
template <class Pick>
void traffic(Page& page, const Counts& counts, Pick pick) {
  for (const auto& [text, entry] : counts.traffic) {
    for (std::size_t flag = 0; flag < kResponseFlags.size(); ++flag) {
      if (const std::uint64_t value = pick(entry.second, flag); value != 0 || (flag == 0 && entry.second.opened != 0)) {
        page.line(entry.first.with(kResponseFlags[flag]), value);
      }
    }
  }
}

void put_traffic(Page& page, const Counts& counts) {
  page.head("istio_tcp_connections_opened_total", "counter", "TCP connections opened");
  for (const auto& [text, entry] : counts.traffic) page.line(entry.first.with("-"), entry.second.opened);
  page.head("istio_tcp_connections_closed_total", "counter", "TCP connections closed");
  traffic(page, counts, [](const Traffic& each, std::size_t flag) { return each.closed[flag]; });
  page.head("istio_tcp_connections_failed_total", "counter", "TCP connections that did not end as the applications wished");
  for (const auto& [text, entry] : counts.traffic) {
    for (std::size_t flag = 1; flag < kResponseFlags.size(); ++flag) {
      if (entry.second.closed[flag] != 0) page.line(entry.first.with(kResponseFlags[flag]), entry.second.closed[flag]);
    }
  }
  page.head("istio_tcp_sent_bytes_total", "counter", "Bytes from servers to clients");
  traffic(page, counts, [](const Traffic& each, std::size_t flag) { return each.sent[flag]; });
  page.head("istio_tcp_received_bytes_total", "counter", "Bytes from clients to servers");
  traffic(page, counts, [](const Traffic& each, std::size_t flag) { return each.received[flag]; });
}

void put_endings(Page& page, const Counts& counts) {
  page.head("culvert_connections_ended_total", "counter", "Connections by the reason they ended, those refused early included");
  for (std::size_t side = 0; side < 2; ++side) {
    for (std::size_t reason = 0; reason < kReasons; ++reason) {
      if (counts.ended[side][reason] == 0) continue;
      page.line(labels({{"reporter", kReporters[side]}, {"reason", name(static_cast<Reason>(reason))}}),
                counts.ended[side][reason]);
    }
  }
  page.head("istio_tcp_sockets_open", "gauge", "Connections that live now");
  for (std::size_t side = 0; side < 2; ++side) page.line(labels({{"reporter", kReporters[side]}}), counts.open[side]);
}

void put_dns(Page& page, const Counts& counts) {
  page.head("istio_dns_requests_total", "counter", "DNS queries of pods");
  for (const auto& [text, each] : counts.dns) page.line(text, each.requests);
  page.head("istio_dns_upstream_requests_total", "counter", "DNS queries handed to the resolver that the pod asked");
  for (const auto& [text, each] : counts.dns) page.line(text, each.forwarded);
  page.head("istio_dns_upstream_failures_total", "counter", "DNS queries that the resolver did not answer");
  for (const auto& [text, each] : counts.dns) page.line(text, each.failed);
  page.head("istio_dns_upstream_request_duration_seconds", "histogram", "Time the resolver took");
  for (const auto& [text, each] : counts.dns) {
    std::uint64_t below = 0;
    for (std::size_t bucket = 0; bucket < each.took.size(); ++bucket) {
      below += each.took[bucket];
      page.line(text + culvert::format(",le=\"{:g}\"", DnsCounts::kBuckets[bucket]), below, "_bucket");
    }
    page.line(text + ",le=\"+Inf\"", each.forwarded, "_bucket");
    page.line(text, each.seconds, "_sum");
    page.line(text, each.forwarded, "_count");
  }
  page.head("culvert_dns_requests_dropped_total", "counter", "DNS queries and connections past a limit, and queries too long");
  for (std::size_t way = 0; way < 2; ++way)
    page.line(labels({{"request_protocol", way == 0 ? "udp" : "tcp"}}), counts.dns_dropped[way]);
}

void put_control(Page& page, const Figures& figures) {
  page.head("istio_build", "gauge", "Our version");
  page.line(labels({{"component", "ztunnel"}, {"tag", kVersion}}), 1);
  page.head("istio_xds_connection_terminations_total", "counter", "Ends of the stream from the control plane");
  page.line(labels({{"reason", "ConnectionError"}}), figures.xds.connection_errors);
  page.line(labels({{"reason", "Error"}}), figures.xds.errors);
  page.line(labels({{"reason", "Reconnect"}}), figures.xds.reconnects);
  page.line(labels({{"reason", "Complete"}}), figures.xds.completes);
  page.head("istio_xds_message_total", "counter", "Messages from the control plane");
  for (const auto& [url, count] : figures.xds.messages) page.line(labels({{"url", url}}), count);
  page.head("istio_xds_message_bytes_total", "counter", "Bytes from the control plane");
  for (const auto& [url, count] : figures.xds.message_bytes) page.line(labels({{"url", url}}), count);
  page.single("culvert_xds_refused_resources_total", "counter", "Resources that could not be used",
              figures.xds.refused_resources);
}

}  // namespace

std::string metrics_text(const Figures& figures) {
  Page page;
  put_traffic(page, figures.counts);
  put_endings(page, figures.counts);
  put_dns(page, figures.counts);
  put_control(page, figures);
  page.single("workload_manager_active_proxy_count", "gauge", "Pods whose proxy runs", figures.proxies_active);
  page.single("workload_manager_pending_proxy_count", "gauge", "Pods whose proxy could not be started yet",
              figures.proxies_pending);
  page.single("workload_manager_proxies_started_total", "counter", "Proxies started", figures.proxies_started);
  page.single("workload_manager_proxies_stopped_total", "counter", "Proxies stopped", figures.proxies_stopped);
  page.single("culvert_tunnels", "gauge", "Tunnels to other pods that are open", figures.counts.tunnels);
  page.single("culvert_tunnel_streams", "gauge", "Connections in those tunnels", figures.counts.tunnel_streams);
  page.single("culvert_tunnel_connects_total", "counter", "Tunnels that were dialled", figures.counts.tunnel_connects);
  page.single("culvert_tunnel_connect_failures_total", "counter", "Tunnels that did not come about",
              figures.counts.tunnel_failures);
  page.single("culvert_log_lines_dropped_total", "counter", "Log lines lost because the reader of our output was too slow",
              figures.log_lines_dropped);
  page.single("culvert_workers", "gauge", "Threads that carry traffic", figures.workers);
  return page.take();
}

}  // namespace culvert::ztunnel
