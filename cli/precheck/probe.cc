#include "cli/precheck/probe.h"

#include <boost/json.hpp>
#include <tuple>
#include <utility>

#include "cli/objects/objects.h"
#include "common/base/format.h"
#include "common/base/version.h"
#include "common/net/timer.h"

namespace culvert::cli::precheck {
namespace {

namespace json = boost::json;
using namespace std::chrono_literals;

constexpr auto kPause = 500ms;
constexpr const char* kLabel = "culvert-precheck";
const kube::Collection kPods{.plural = "pods"};

kube::Place place_of(const Options& options, const std::string& pod) {
  return {.of = kPods, .ns = options.probe_namespace, .name = pod};
}

// What its container waits for: "ErrImagePull: ...".
std::string obstacle_of(const json::value& pod) {
  for (const json::value& status : list_at(pod, "/status/containerStatuses")) {
    for (const char* state : {"/state/waiting", "/state/terminated"}) {
      const std::string reason = text_at(status, std::string(state) + "/reason"),
                        message = text_at(status, std::string(state) + "/message");
      if (!reason.empty()) return message.empty() ? reason : reason + ": " + message;
    }
  }
  const std::string phase = text_at(pod, "/status/phase"), message = text_at(pod, "/status/message");
  return message.empty() ? phase : message;
}

net::Task<Result<node_facts::Facts>> hear(kube::Client& client, const Options& options, std::string pod,
                                          net::Clock::time_point end) {
  for (;;) {
    const auto found = co_await find_object(client, place_of(options, pod));
    if (!found) co_return std::unexpected(found.error());
    const std::string phase = text_at(*found, "/status/phase");
    if (phase == "Succeeded") break;
    if (phase == "Failed") co_return failure("the pod failed: " + obstacle_of(*found));
    if (net::Clock::now() >= end)
      co_return failure(culvert::format("the pod has not run in time: {} (--image, --timeout)",
                                        found->is_null() ? "somebody has deleted it" : obstacle_of(*found)));
    co_await net::sleep_for(client.loop(), kPause);
  }
  kube::Place log = place_of(options, pod);
  log.subresource = "log";
  const auto said = co_await client.call(kube::get(log));
  if (!said) co_return std::unexpected(said.error());
  co_return node_facts::from_json(said->body);
}

}  // namespace

std::string probe_pod(const Options& options, const std::string& name, const std::string& node) {
  const std::string image = options.image.empty() ? culvert::format("culvert.dev/culvert-node:{}", kVersion) : options.image;
  const json::object container{
      {"name", "look"},
      {"image", image},
      {"imagePullPolicy", options.pull_policy},
      {"args", json::array{"precheck", "--root", "/host"}},
      {"volumeMounts",
       json::array{
           json::object{{"name", "host"}, {"mountPath", "/host"}, {"readOnly", true}, {"mountPropagation", "HostToContainer"}}}},
      {"securityContext", json::object{{"runAsUser", 0},
                                       {"readOnlyRootFilesystem", true},
                                       {"allowPrivilegeEscalation", false},
                                       {"capabilities", json::object{{"drop", json::array{"ALL"}}}}}}};
  json::array pull_secrets;
  for (const std::string& secret : options.pull_secrets) pull_secrets.push_back(json::object{{"name", secret}});
  const json::object spec{{"nodeName", node},
                          {"imagePullSecrets", pull_secrets},
                          {"hostNetwork", true},
                          {"restartPolicy", "Never"},
                          {"automountServiceAccountToken", false},
                          {"terminationGracePeriodSeconds", 0},
                          {"tolerations", json::array{json::object{{"operator", "Exists"}}}},
                          {"containers", json::array{container}},
                          {"volumes", json::array{json::object{{"name", "host"}, {"hostPath", json::object{{"path", "/"}}}}}}};
  return json::serialize(
      json::object{{"apiVersion", "v1"},
                   {"kind", "Pod"},
                   {"metadata", json::object{{"name", name},
                                             {"namespace", options.probe_namespace},
                                             {"labels", json::object{{"app", kLabel}, {"istio.io/dataplane-mode", "none"}}}}},
                   {"spec", spec}});
}

net::Task<std::vector<Probed>> probe_nodes(kube::Client& client, const Options& options, std::vector<std::string> nodes) {
  std::vector<Probed> probed;
  const auto end = net::Clock::now() + options.timeout;
  const auto pod_of = [](const std::string& node) { return culvert::format("{}-{}", kLabel, node); };
  for (std::string& node : nodes) {
    std::ignore = co_await erase(client, place_of(options, pod_of(node)));  // of a look that was broken off
    const auto started = co_await client.call(kube::create(place_of(options, ""), probe_pod(options, pod_of(node), node)));
    probed.push_back({.node = std::move(node)});
    if (!started) probed.back().facts = std::unexpected(started.error());
    probed.back().started = started.has_value();
  }
  for (Probed& each : probed) {
    if (!each.started) continue;
    each.facts = co_await hear(client, options, pod_of(each.node), end);
    std::ignore = co_await erase(client, place_of(options, pod_of(each.node)));
  }
  co_return probed;
}

}  // namespace culvert::cli::precheck
