#include "cni/agent/departure.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "cni/agent/scope.h"
#include "cni/agent/unload.h"
#include "cni/json/text.h"
#include "common/base/fd.h"
#include "common/base/log.h"
#include "common/kube/request.h"

namespace culvert::agent {
namespace {

using namespace std::chrono_literals;

// Where the plugin finds us.
std::filesystem::path plugin_socket(const Settings& settings) {
  return settings.agent_socket.empty() ? std::filesystem::path(kAgentSocket) : settings.agent_socket;
}

// The kubelet made it for us in the host's namespace; in ours it is a mount, which cannot be removed. One that is not empty is somebody else's, too.
Status remove_hosts_folder(const std::filesystem::path& folder) {
  const Fd root(::open("/proc/1/root", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root) return failure_errno("opening the host's root folder, /proc/1/root");
  const open_how how{.flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .mode = 0, .resolve = RESOLVE_IN_ROOT};
  const auto parent = folder.parent_path();
  const Fd above(static_cast<int>(::syscall(SYS_openat2, root.get(), parent.c_str(), &how, sizeof how)));
  if (!above) return failure_errno("opening the host's " + parent.string());
  if (::unlinkat(above.get(), folder.filename().c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT || errno == ENOTEMPTY) return {};
  return failure_errno("removing the host's " + folder.string());
}

// What listens there ends with us; whoever looks afterwards shall find nothing.
void remove_sockets(const Departing& parts) {
  parts.endpoint.unlink();
  parts.node.unlink_socket();
  for (const auto& each : {plugin_socket(parts.settings), parts.settings.ztunnel_socket}) {
    if (auto removed = remove_hosts_folder(each.parent_path()); !removed) log::warn(scope::kApp, removed.error().text);
  }
}

// Whether the DaemonSet is gone or going.
net::Task<Result<bool>> is_uninstalled(const Departing& parts) {
  auto request = kube::get(
      {.of = {.group = "apps", .plural = "daemonsets"}, .ns = parts.settings.own_namespace, .name = parts.settings.daemonset});
  request.timeout = 5s;
  const auto answer = co_await parts.client.exchange(request);
  if (!answer) co_return std::unexpected(answer.error());
  if (answer->status == kube::kNotFound) co_return true;
  if (!kube::is_success(answer->status)) co_return std::unexpected(kube::refusal(request, answer->status, answer->body));
  co_return json::check(answer->body) && !json::find(json::find(answer->body, "metadata"), "deletionTimestamp").empty();
}

// Whoever takes an installation away may take our account with it: half way, nobody who tells is no reason to stop.
net::Task<bool> is_back(const Departing& parts) {
  const auto gone = co_await is_uninstalled(parts);
  const bool back = gone && !*gone;
  if (back) log::info(scope::kApp, "the mesh is installed again: what is left of it here is its next agent's");
  co_return back;
}

}  // namespace

install::Places places_of(const Settings& settings) {
  std::error_code ignored;
  auto program = settings.cni_program;
  if (program.empty()) program = std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path() / install::kPlugin;
  return {.program = std::move(program), .binaries = settings.cni_bin_dir, .configuration = settings.cni_net_dir};
}

install::Wish wish_of(const Settings& settings) {
  const auto mode = !settings.cni_chained     ? install::Mode::kStandalone
                    : settings.cni_own_config ? install::Mode::kOwn
                                              : install::Mode::kChained;
  install::Wish wish{.mode = mode,
                     .entry = install::entry_of({.agent_socket = plugin_socket(settings).string(),
                                                 .exclude_namespaces = settings.rules.excluded_namespaces,
                                                 .own_namespace = settings.own_namespace,
                                                 .own_pods = settings.own_pods},
                                                mode),
                     .primary = mode == install::Mode::kStandalone ? "" : settings.cni_conf_name};
  if (mode == install::Mode::kStandalone) wish.own = settings.cni_conf_name.empty() ? "culvert-cni.conf" : settings.cni_conf_name;
  return wish;
}

Status remove_plugin(const Settings& settings) {
  return settings.cni_bin_dir.empty() ? Status{} : install::remove(places_of(settings), wish_of(settings));
}

net::Task<> depart_if_uninstalled(Departing parts) {
  const auto uninstalled = co_await is_uninstalled(parts);
  if (!uninstalled)
    log::warn(scope::kApp, "whether the mesh is being uninstalled cannot be known, so it stays: " + uninstalled.error().text);
  if (!uninstalled || !*uninstalled) co_return;
  log::info(scope::kApp, "the mesh is being uninstalled: pods of this node leave it");
  parts.installer.reset();
  if (auto removed = remove_plugin(parts.settings); !removed) log::error(scope::kApp, removed.error().text);
  if (!co_await parts.node.leave(parts.settings.leave_patience))
    log::error(scope::kApp, "some pods are still captured: what they have open through ztunnel ends now");
  if (co_await is_back(parts)) co_return;
  if (auto unloaded = unload(parts.settings); !unloaded) log::error(scope::kApp, unloaded.error().text);
  if (co_await is_back(parts)) co_return;
  remove_sockets(parts);
  log::info(scope::kApp, "the mesh has left this node");
}

}  // namespace culvert::agent
