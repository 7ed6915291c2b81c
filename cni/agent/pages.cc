#include "cni/agent/pages.h"

#include <boost/json.hpp>
#include <map>
#include <string>
#include <utility>

#include "common/admin/server.h"
#include "common/base/version.h"
#include "common/telemetry/registry.h"

namespace culvert::agent {
namespace {

using telemetry::Family;
using telemetry::Kind;

Family bpf_events(const Node& node) {
  Family family{
      .name = "culvert_bpf_events_total", .help = "Every way out of every kernel program", .kind = Kind::kCounter, .samples = {}};
  for (const auto& counter : node.counters()) {
    family.samples.push_back({.suffix = "",
                              .labels = {{"program", std::string(counter.program)}, {"event", std::string(counter.exit)}},
                              .value = static_cast<double>(counter.value)});
  }
  return family;
}

Family pods_by_state(const Node& node) {
  std::map<std::pair<std::string, std::string>, int> counts;
  for (const auto& pod : node.pods()) ++counts[{pod.verdict, pod.error.empty() ? pod.state : "failing"}];
  Family family{.name = "culvert_node_pods",
                .help = "Pods of this node: why in the mesh or not, and how far",
                .kind = Kind::kGauge,
                .samples = {}};
  for (const auto& [labels, count] : counts) {
    family.samples.push_back(
        {.suffix = "", .labels = {{"verdict", labels.first}, {"state", labels.second}}, .value = static_cast<double>(count)});
  }
  return family;
}

Family errors(const Node& node) {
  Family family{
      .name = "culvert_node_errors_total", .help = "What failed, by step or part", .kind = Kind::kCounter, .samples = {}};
  for (const auto& [kind, count] : node.health().errors()) {
    family.samples.push_back({.suffix = "", .labels = {{"what", kind}}, .value = static_cast<double>(count)});
  }
  return family;
}

Family answers(const Node& node) {
  Family family{.name = "culvert_node_cni_answers_total",
                .help = "What the CNI plugin asked about pods, and heard",
                .kind = Kind::kCounter,
                .samples = {}};
  for (const auto& [what, count] : node.answers()) {
    family.samples.push_back({.suffix = "",
                              .labels = {{"verb", std::string(name(what.first))}, {"verdict", std::string(name(what.second))}},
                              .value = static_cast<double>(count)});
  }
  return family;
}

std::string pods_json(const Node& node) {
  boost::json::array pods;
  for (const auto& pod : node.pods()) {
    pods.push_back({{"pod", pod.name},
                    {"uid", pod.uid},
                    {"verdict", pod.verdict},
                    {"why", pod.why},
                    {"state", pod.state},
                    {"step", pod.step},
                    {"error", pod.error},
                    {"netns_cookie", pod.netns_cookie}});
  }
  return boost::json::serialize(pods) + "\n";
}

}  // namespace

struct Pages::State {
  State(net::Loop& loop, const Node& node, const settings::Table& table, telemetry::Registry& registry);

  admin::Server server;
};

Pages::State::State(net::Loop& loop, const Node& node, const settings::Table& table, telemetry::Registry& registry)
    : server(loop, "culvert-node") {
  registry.add_process();
  registry.collect([&node](std::vector<Family>& out) {
    out.push_back(bpf_events(node));
    out.push_back(pods_by_state(node));
    out.push_back(errors(node));
    out.push_back(answers(node));
  });
  registry.observe("culvert_node_ztunnels", "ztunnels that are connected", Kind::kGauge,
                   [&node] { return static_cast<double>(node.ztunnels()); });
  registry.observe("culvert_node_ztunnel_cgroups",
                   "cgroups of ztunnels, whose connections are not captured: each until nobody lives in it", Kind::kGauge,
                   [&node] { return static_cast<double>(node.exempt_cgroups()); });
  registry.observe("culvert_node_strangers", "captured network namespaces that are no pod's: held until they end", Kind::kGauge,
                   [&node] { return static_cast<double>(node.strangers()); });
  registry.observe("culvert_node_pods_missed_total",
                   "Pods that ran outside the mesh although they belong to it, and have been brought in", Kind::kCounter,
                   [&node] { return static_cast<double>(node.missed()); });
  registry.observe("culvert_node_active", "1 when the kernel programs of this version are in force", Kind::kGauge,
                   [&node] { return node.active() ? 1.0 : 0.0; });
  registry.observe("culvert_build_info", "The version that runs", Kind::kGauge, [] { return 1.0; },
                   {{"version", std::string(kVersion)}, {"component", "culvert-node"}});

  using admin::Port;
  admin::add_metrics(server, registry);
  admin::add_logging(server);
  const auto ready = [&node](const http::Request&) {
    return http::text_response(node.health().ready() ? 200 : 503, node.health().text());
  };
  const auto alive = [](const http::Request&) { return http::text_response(200, "ok\n"); };
  server.on(Port::kReadiness, "GET", "/readyz", "whether the agent works, and what does not", ready);
  server.on(Port::kReadiness, "GET", "/healthz", "whether the agent answers", alive);
  server.on(Port::kAdmin, "GET", "/pods", "the pods of this node: in the mesh or why not",
            [&node](const http::Request&) { return http::json_response(pods_json(node)); });
  server.on(Port::kAdmin, "GET", "/settings", "the settings in force",
            [&table](const http::Request&) { return http::json_response(admin::settings_json(table)); });
}

Pages::Pages(std::unique_ptr<State> state) : state_(std::move(state)) {}
Pages::Pages(Pages&&) noexcept = default;
Pages& Pages::operator=(Pages&&) noexcept = default;
Pages::~Pages() = default;

Result<Pages> Pages::open(net::Loop& loop, const Node& node, const Settings& settings, const settings::Table& table,
                          telemetry::Registry& registry) {
  auto state = std::make_unique<State>(loop, node, table, registry);
  if (auto at = admin::listen_wildcard(state->server, admin::Port::kMetrics, settings.metrics_port); !at)
    return std::unexpected(at.error());
  if (auto at = admin::listen_wildcard(state->server, admin::Port::kReadiness, settings.readiness_port); !at)
    return std::unexpected(at.error());
  if (auto at = admin::listen_localhost(state->server, admin::Port::kAdmin, settings.admin_port); !at)
    return std::unexpected(at.error());
  return Pages(std::move(state));
}

}  // namespace culvert::agent
