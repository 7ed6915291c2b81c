#include "cni/agent/unload.h"

#include <chrono>
#include <map>
#include <set>
#include <thread>

#include "bpf/loader/datapath.h"
#include "cni/agent/departure.h"
#include "cni/agent/scope.h"
#include "cni/redirect/netns.h"
#include "cni/redirect/redirect.h"
#include "common/base/log.h"

namespace culvert::agent {
namespace {

using namespace std::chrono_literals;

constexpr auto kPoll = 50ms;

struct Namespace {
  Fd netns;
  culvert_sysctls before{};  // it was captured
};
using Namespaces = std::map<std::uint64_t, Namespace>;  // by inode

void complain(std::uint64_t inode, const Status& done) {
  if (!done) log::error(scope::kUnload, done.error().text, {log::field("netns", inode)});
}

Result<Namespaces> find(const std::vector<bpf::Captured>& pods, const std::filesystem::path& pin_dir) {
  std::set<std::uint64_t> inodes;
  for (const auto& pod : pods) {
    if (pod.netns_inode != 0) inodes.insert(pod.netns_inode);
  }
  auto found = redirect::find_netns(inodes);
  Namespaces namespaces;
  for (const auto& pod : pods) {
    const auto netns = found.find(pod.netns_inode);
    if (pod.netns_inode != 0 && netns == found.end())
      log::warn(scope::kUnload, "a captured network namespace is not found: its rules stay",
                {log::field("netns", pod.netns_inode)});
    if (netns == found.end()) continue;
    const auto before = bpf::Datapath::pinned_sysctls(pin_dir, pod.netns_cookie);
    if (!before) return std::unexpected(before.error());
    namespaces[pod.netns_inode] = {.netns = std::move(netns->second), .before = before->value_or(culvert_sysctls{})};
  }
  return namespaces;
}

// Restores those that no connection through ztunnel needs any more, and drops them from the map.
void restore_idle(Namespaces& namespaces) {
  std::erase_if(namespaces, [](const auto& entry) {
    const auto& [inode, it] = entry;
    if (redirect::marked_sockets(it.netns.get()).value_or(redirect::MarkedSockets{}).open != 0) return false;
    complain(inode, redirect::restore(it.netns.get(), it.before));
    return true;
  });
}

}  // namespace

Status unload(const Settings& settings) {
  const auto removed = remove_plugin(settings);  // whatever comes of it: what is in the kernel can go
  const auto pods = bpf::Datapath::pinned_pods(settings.pin_dir);
  if (!pods) return std::unexpected(pods.error());
  auto namespaces = find(*pods, settings.pin_dir);
  if (!namespaces) return std::unexpected(namespaces.error());

  // DNS first: its rule would send queries to a listener that nothing leads to any more.
  for (const auto& [inode, it] : *namespaces) complain(inode, redirect::capture_dns(it.netns.get(), false));
  if (auto done = bpf::Datapath::unload(settings.pin_dir); !done) return done;
  const auto end = std::chrono::steady_clock::now() + settings.finish_grace;
  for (restore_idle(*namespaces); !namespaces->empty() && std::chrono::steady_clock::now() < end; restore_idle(*namespaces))
    std::this_thread::sleep_for(kPoll);
  for (const auto& [inode, it] : *namespaces)
    log::warn(scope::kUnload, "connections through ztunnel go on: the pod's routes stay", {log::field("netns", inode)});
  return removed;
}

}  // namespace culvert::agent
