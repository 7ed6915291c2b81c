#include "cli/ask/cluster.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include "cli/objects/objects.h"
#include "cli/print/json.h"
#include "common/base/format.h"

namespace culvert::cli {
namespace {

namespace json = boost::json;

constexpr std::size_t kMostOfAnswer = 64 << 20;

const kube::Collection kPods = {.plural = "pods"};

// Kinds that own pods, as kubectl calls them.
struct Owner {
  std::vector<std::string_view> called;
  kube::Collection of;
};
const std::vector<Owner>& owners() {
  static const std::vector<Owner> all = {
      {{"deployment", "deployments", "deploy"}, {"apps", "v1", "deployments"}},
      {{"daemonset", "daemonsets", "ds"}, {"apps", "v1", "daemonsets"}},
      {{"statefulset", "statefulsets", "sts"}, {"apps", "v1", "statefulsets"}},
      {{"replicaset", "replicasets", "rs"}, {"apps", "v1", "replicasets"}},
      {{"job", "jobs"}, {"batch", "v1", "jobs"}},
      {{"service", "services", "svc"}, {.plural = "services"}},
  };
  return all;
}

bool has_ended(const json::object& pod) {
  const std::string phase = print::text_at(print::object_at(pod, "status"), "phase");
  return phase == "Succeeded" || phase == "Failed";
}

Result<json::object> parse(const std::string& text, std::string_view what) {
  boost::system::error_code failed;
  json::value value = json::parse(text, failed);
  if (failed || !value.is_object()) return failure(culvert::format("{}: the API server's answer is no JSON object", what));
  return std::move(value.as_object());
}

bool in_pod() { return std::getenv("KUBERNETES_SERVICE_HOST") != nullptr; }

bool has_kubeconfig() {
  if (std::getenv("KUBECONFIG") != nullptr) return true;
  const char* home = std::getenv("HOME");
  std::error_code error;
  return home != nullptr && std::filesystem::exists(std::string(home) + "/.kube/config", error);
}

}  // namespace

Pod pod_of(const json::object& item) {
  const json::object& meta = print::object_at(item, "metadata");
  const json::object& spec = print::object_at(item, "spec");
  Pod out{.key = {print::text_at(meta, "namespace"), print::text_at(meta, "name")},
          .app = print::text_at(print::object_at(meta, "labels"), "app"),
          .node = print::text_at(spec, "nodeName")};
  for (const json::value& each : print::array_at(spec, "containers"))
    if (each.is_object()) out.containers.push_back(print::text_at(each.as_object(), "name"));
  for (const json::value& each : print::array_at(print::object_at(item, "status"), "conditions"))
    if (each.is_object() && print::text_at(each.as_object(), "type") == "Ready")
      out.ready = print::text_at(each.as_object(), "status") == "True";
  return out;
}

Result<Cluster> Cluster::open(net::Loop& loop, const ClusterFlags& options) {
  const bool as_pod = options.kubeconfig.empty() && options.context.empty() && !has_kubeconfig() && in_pod();
  auto access = as_pod ? kube::Access::in_cluster() : kube::Access::from_kubeconfig(options.kubeconfig, options.context);
  if (!access) return std::unexpected(std::move(access).error());
  auto client = std::make_shared<kube::Client>(loop, std::move(*access),
                                               kube::ClientOptions{.user_agent = "culvert", .answer = kMostOfAnswer});
  return Cluster(std::move(client), options.system_namespace);
}

net::Task<Result<std::vector<Pod>>> Cluster::pods(std::string name_space, std::string labels, std::string node) {
  kube::Query query = {{"labelSelector", labels}};
  if (!node.empty()) query.emplace_back("fieldSelector", "spec.nodeName=" + node);
  auto items = co_await find_all(*client_, {kPods, name_space}, std::move(query));
  if (!items) co_return std::unexpected(std::move(items).error());
  std::vector<Pod> out;
  for (const json::value& item : *items)
    if (item.is_object() && !has_ended(item.as_object())) out.push_back(pod_of(item.as_object()));
  std::ranges::sort(out, {}, [](const Pod& pod) { return std::pair(!pod.ready, pod.key); });
  co_return out;
}

net::Task<Result<std::vector<Pod>>> Cluster::control_plane() {
  auto found = co_await pods(system_namespace_, "app=culvertd");
  if (found) std::erase_if(*found, [](const Pod& pod) { return !pod.ready; });
  if (found && found->empty())
    co_return failure(
        culvert::format("no pod of namespace {} is a culvertd that is ready (label app=culvertd; is it installed in "
                        "another namespace? -i)",
                        system_namespace_));
  co_return found;
}

net::Task<Result<std::string>> Cluster::selector_of(std::string kind, kube::Key key) {
  const auto owner = std::ranges::find_if(owners(), [&](const Owner& each) { return std::ranges::contains(each.called, kind); });
  if (owner == owners().end())
    co_return failure("\"" + kind + "\" has no pods (write pod, deployment, daemonset, statefulset, replicaset, job or service)");
  const kube::Request request = kube::get({owner->of, key.ns, key.name});
  auto answer = co_await client_->call(request);
  if (!answer) co_return std::unexpected(std::move(answer).error());
  auto object = parse(answer->body, request.text());
  if (!object) co_return std::unexpected(std::move(object).error());
  const json::object& selector = print::object_at(print::object_at(*object, "spec"), "selector");
  std::string out;
  for (const auto& [name, value] : owner->of.plural == "services" ? selector : print::object_at(selector, "matchLabels"))
    if (value.is_string())
      out += culvert::format("{}{}={}", out.empty() ? "" : ",", std::string_view(name), std::string_view(value.as_string()));
  if (out.empty()) co_return failure(request.text() + ": it selects its pods by no labels");
  co_return out;
}

net::Task<Result<std::vector<Pod>>> Cluster::pods_called(std::string word, std::string name_space) {
  std::string kind = "pod";
  if (const auto slash = word.find('/'); slash != word.npos) kind = word.substr(0, slash), word.erase(0, slash + 1);
  if (const auto dot = word.rfind('.'); dot != word.npos) name_space = word.substr(dot + 1), word.erase(dot);
  const kube::Key key{name_space, word};
  if (kind != "pod" && kind != "pods" && kind != "po") {
    auto selector = co_await selector_of(kind, key);
    if (!selector) co_return std::unexpected(std::move(selector).error());
    auto found = co_await pods(name_space, std::move(*selector));
    if (found && found->empty()) co_return failure(culvert::format("{} {} has no pod that runs", kind, key.text()));
    co_return found;
  }
  const kube::Request request = kube::get({kPods, key.ns, key.name});
  auto answer = co_await client_->call(request);
  if (!answer) co_return std::unexpected(std::move(answer).error());
  auto object = parse(answer->body, request.text());
  if (!object) co_return std::unexpected(std::move(object).error());
  co_return std::vector<Pod>{pod_of(*object)};
}

Target Cluster::target(const Pod& pod, std::uint16_t port) const { return {.port = port, .cluster = client_, .pod = pod.key}; }

}  // namespace culvert::cli
