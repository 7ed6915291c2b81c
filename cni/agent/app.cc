#include "cni/agent/app.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>

#include "cni/agent/ask_endpoint.h"
#include "cni/agent/departure.h"
#include "cni/agent/folder_cluster.h"
#include "cni/agent/kube_cluster.h"
#include "cni/agent/kubernetes.h"
#include "cni/agent/node.h"
#include "cni/agent/pages.h"
#include "cni/agent/scope.h"
#include "cni/agent/taint.h"
#include "cni/agent/unload.h"
#include "common/base/fd.h"
#include "common/base/format.h"
#include "common/base/log.h"
#include "common/base/version.h"
#include "common/config/source/folder_source.h"
#include "common/kube/access.h"
#include "common/kube/client.h"
#include "common/kube/source/kube_source.h"
#include "common/net/signals.h"
#include "common/net/timer.h"
#include "common/sandbox/sandbox.h"
#include "common/telemetry/registry.h"

namespace culvert::agent {
namespace {

int cannot(const Error& error) {
  log::stop();
  std::fputs(culvert::format("culvert-node: {}\n", error.text).c_str(), stderr);
  return 1;
}

Status check(const Settings& settings) {
  if (settings.node_name.empty()) return failure("NODE_NAME is not set (set NODE_NAME or --node-name: the node that we run on)");
  return {};
}

// Each enrolled pod costs a few descriptors.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

// Before an agent ends that a plugin could ask, which is each on Kubernetes.
using Farewell = std::function<net::Task<>(AskEndpoint&)>;

net::Task<> end_on_signal(net::Loop& loop, net::Signals& signals, const Farewell& farewell, AskEndpoint* endpoint) {
  const int number = co_await signals.next();
  log::info(scope::kApp, "ending; what is captured stays captured", {log::field("signal", number)});
  if (farewell) co_await farewell(*endpoint);
  loop.stop();
}

// The lives of pods are not unwound one by one: what they put in force is to stay, and their descriptors close with the process.
[[noreturn]] void end(int exit_code) {
  log::stop();
  std::_Exit(exit_code);
}

// Answers the plugin, where there is one to answer.
Status answer_plugin(net::Loop& loop, const Settings& settings, Node& node, std::unique_ptr<AskEndpoint>& endpoint) {
  auto path = settings.agent_socket.string();
  if (path.empty() && settings.kubernetes()) path = kAgentSocket;
  if (path.empty()) return {};
  auto opened = AskEndpoint::open(
      loop, path, [&node](ask::Question question, Fd netns) { return node.answer(std::move(question), std::move(netns)); });
  if (!opened) return std::unexpected(std::move(opened).error());
  endpoint = *std::move(opened);
  return {};
}

[[noreturn]] void serve(net::Loop& loop, const Settings& settings, const settings::Table& table, Node& node,
                        telemetry::Registry& registry, const Farewell& farewell = {}) {
  std::unique_ptr<AskEndpoint> endpoint;
  if (auto answering = answer_plugin(loop, settings, node, endpoint); !answering) end(cannot(answering.error()));
  const auto pages = Pages::open(loop, node, settings, table, registry);
  if (!pages) end(cannot(pages.error()));
  net::Signals signals(loop, {SIGTERM, SIGINT});
  loop.spawn(end_on_signal(loop, signals, farewell, endpoint.get()));
  log::info(scope::kApp, "running", {log::field("version", version_text()), log::field("node", settings.node_name)});
  loop.run();
  end(0);
}

[[noreturn]] void serve_folder(const Settings& settings, const settings::Table& table) {
  net::Loop loop;
  telemetry::Registry registry;
  auto status = StatusFolder::open(settings.config_dir, settings.node_name);
  if (!status) end(cannot(status.error()));
  FolderCluster cluster(*std::move(status));
  Sandboxes sandboxes({.annotation = true, .plugin = !settings.agent_socket.empty()});
  auto node = Node::open(loop, settings, cluster, sandboxes);
  if (!node) end(cannot(node.error()));
  auto source = config::FolderSource::open(loop, settings.config_dir.string(), {.status = false, .whole = false},
                                           [&node](const config::Diff& diff) { (*node)->apply(diff); });
  if (!source) end(cannot(source.error()));
  (*node)->begin();
  serve(loop, settings, table, **node, registry);
}

using InstallerPtr = std::unique_ptr<install::Installer>;

// From when pods can be answered: what calls us is there no sooner.
void install_plugin(net::Loop& loop, const Settings& settings, Node& node, telemetry::Registry& registry,
                    InstallerPtr& installer) {
  if (settings.cni_bin_dir.empty()) return;
  installer =
      std::make_unique<install::Installer>(loop, places_of(settings), wish_of(settings), [&node](const std::string& trouble) {
        if (trouble.empty()) node.health().recovered("CNI plugin");
        else node.health().failing("CNI plugin", "install", trouble);
      });
  registry.observe("culvert_node_cni_installed", "1 when the node's CNI configuration calls our plugin", telemetry::Kind::kGauge,
                   [&installer] { return installer && installer->installed() ? 1.0 : 0.0; });
  registry.observe("culvert_node_cni_restored_total",
                   "Times that somebody else had taken our plugin out of the CNI configuration", telemetry::Kind::kCounter,
                   [&installer] { return installer ? static_cast<double>(installer->restored()) : 0.0; });
}

// Once a pod that comes is held by the plugin, and what it is given is in force.
net::Task<> let_pods_come(kube::Client& client, const Settings& settings, Node& node, const InstallerPtr& installer) {
  constexpr auto kLook = std::chrono::milliseconds(100);
  while (!node.active() || (installer && !installer->installed())) co_await net::sleep_for(client.loop(), kLook);
  co_await take_taint_away(client, settings.node_name, settings.startup_taint);
}

// Cgroups of others are told as seen from our own cgroup namespace, which a container has to itself: from the node's they are what they are.
void see_all_cgroups() {
  const Fd space(::open("/proc/1/ns/cgroup", O_RDONLY | O_CLOEXEC));
  if (space && ::setns(space.get(), CLONE_NEWCGROUP) == 0) return;
  log::warn(scope::kApp, "entering the node's cgroup namespace", {log::field("error", errno_text(errno))});
}

// Runtimes mount it read-only into containers that are not privileged. What is written there is only what pods need in their own namespaces.
void make_sysctls_writable() {
  struct statvfs status{};
  if (::statvfs("/proc/sys", &status) != 0 || (status.f_flag & ST_RDONLY) == 0) return;
  constexpr unsigned long kFlags = MS_BIND | MS_REMOUNT | MS_NOSUID | MS_NODEV | MS_NOEXEC;
  if (::mount(nullptr, "/proc/sys", nullptr, kFlags, nullptr) != 0)
    log::warn(scope::kApp, "making /proc/sys writable", {log::field("error", errno_text(errno))});
}

void confine(const Settings& settings) {
  if (settings.kubernetes()) {  // what cannot be done afterwards
    see_all_cgroups();
    make_sysctls_writable();
  }
  auto needs = sandbox::kNode;
  needs.other_programs = !settings.kubeconfig.empty();
  if (auto confined = sandbox::confine(needs); !confined) log::warn(scope::kApp, confined.error().text);
}

[[noreturn]] void serve_kubernetes(const Settings& settings, const settings::Table& table) {
  net::Loop loop;
  telemetry::Registry registry;
  auto access = kube::Access::configured(settings.kubeconfig.string(), settings.context);
  if (!access) end(cannot(access.error()));
  kube::Client client(loop, *std::move(access), {.user_agent = "culvert-node"});
  KubeCluster cluster(client, {.node = settings.node_name}, registry);
  Sandboxes sandboxes({.plugin = true, .processes = true});
  auto node = Node::open(loop, settings, cluster, sandboxes);
  if (!node) end(cannot(node.error()));
  (*node)->health().unready("kubernetes", "pods and namespaces are not listed yet");
  InstallerPtr installer;
  bool leaving = false;  // what is listed only now installs nothing any more
  const kube::Source source(client, {.of = wanted(settings.node_name)}, registry, [&](const config::Diff& diff) {
    (*node)->apply(diff);
    if ((*node)->begun() || leaving) return;
    (*node)->begin();
    (*node)->health().unready("kubernetes", "");
    install_plugin(loop, settings, **node, registry, installer);
    if (!settings.startup_taint.empty()) loop.spawn(let_pods_come(client, settings, **node, installer));
  });
  serve(loop, settings, table, **node, registry, [&](AskEndpoint& endpoint) {
    leaving = true;
    return depart_if_uninstalled(
        {.client = client, .settings = settings, .node = **node, .endpoint = endpoint, .installer = installer});
  });
}

}  // namespace

int run(const Settings& settings, const settings::Table& table) {
  net::ignore_sigpipe();
  raise_descriptor_limit();
  if (auto started = log::start(settings.log_level, settings.log_format == "json"); !started) return cannot(started.error());
  if (settings.unload) {
    if (auto unloaded = unload(settings); !unloaded) return cannot(unloaded.error());
    log::stop();
    return 0;
  }
  if (auto checked = check(settings); !checked) return cannot(checked.error());
  confine(settings);
  if (settings.kubernetes()) serve_kubernetes(settings, table);
  serve_folder(settings, table);
}

}  // namespace culvert::agent
