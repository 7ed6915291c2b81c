#include "cni/agent/sandboxes.h"

#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "cni/agent/enrol.h"
#include "cni/redirect/netns.h"
#include "cni/redirect/redirect.h"
#include "common/base/format.h"

namespace culvert::agent {
namespace {

constexpr std::string_view kStaticUid = "kubernetes.io/config.hash";  // of a pod that mirrors a static one
constexpr std::string_view kMirror = "kubernetes.io/config.mirror";

std::uint64_t inode_of(int descriptor) {
  struct stat status{};
  return ::fstat(descriptor, &status) == 0 ? status.st_ino : 0;
}

// Asks for no descriptor: they may have run out.
std::uint64_t inode_at(const std::string& path) {
  struct stat status{};
  return !path.empty() && ::stat(path.c_str(), &status) == 0 ? status.st_ino : 0;
}

std::string path_of(const config::Pod& pod) { return std::string(config::value_of(pod.metadata.annotations, kNetnsAnnotation)); }

}  // namespace

std::string uid_of(const config::Pod& pod) {
  const auto& meta = pod.metadata;
  return meta.uid.empty() ? meta.name_space + "/" + meta.name : meta.uid;
}

// Anybody may write annotations. No pod but a static one has a uid of this shape, and its addresses have to fit as well.
std::string kubelet_uid(const config::Pod& pod) {
  const auto of_file = config::value_of(pod.metadata.annotations, kStaticUid);
  const bool is_static = of_file.size() == 32 && config::value_of(pod.metadata.annotations, kMirror) == of_file;
  return is_static ? std::string(of_file) : uid_of(pod);
}

Status check_addresses(int netns, const std::vector<IpAddress>& addresses) {
  if (addresses.empty()) return {};
  const auto own = redirect::own_addresses(netns);
  if (!own) return std::unexpected(own.error());
  if (std::ranges::any_of(addresses, [&](const auto& address) { return std::ranges::contains(*own, address); })) return {};
  return failure(culvert::format("the network namespace that was found for it has not its address {}: is it another pod's?",
                                 addresses.front().text()));
}

Status Sandboxes::sought(const config::Pod& pod) const {
  if (options_.plugin || options_.processes || !path_of(pod).empty()) return {};
  return failure(culvert::format("no annotation {} says where its network namespace is", kNetnsAnnotation));
}

Status Sandboxes::given(const config::Pod& pod, Fd netns) {
  const auto inode = inode_of(netns.get());
  if (inode == 0) return failure("what the plugin gave cannot be looked at");
  seen_.erase(kubelet_uid(pod));
  auto& sandbox = sandboxes_[kubelet_uid(pod)];
  if (sandbox.inode == inode) {
    sandbox.given = true;
    return {};
  }
  sandbox = {.netns = std::move(netns), .inode = inode, .pid = 0, .given = true};
  return {};
}

void Sandboxes::ended(const config::Pod& pod, std::uint64_t inode) {
  const auto found = sandboxes_.find(kubelet_uid(pod));
  if (found != sandboxes_.end() && found->second.inode == inode) sandboxes_.erase(found);
  seen_.erase(kubelet_uid(pod));
}

void Sandboxes::forget(const config::Pod& pod) {
  sandboxes_.erase(kubelet_uid(pod));
  seen_.erase(kubelet_uid(pod));
}

std::uint64_t Sandboxes::inode(const config::Pod& pod) {
  if (options_.annotation && !path_of(pod).empty()) return inode_at(path_of(pod));
  const auto* sandbox = valid(pod);
  return sandbox == nullptr ? 0 : sandbox->inode;
}

Result<Fd> Sandboxes::open(const config::Pod& pod) {
  if (options_.annotation && !path_of(pod).empty()) return redirect::open_netns(path_of(pod).c_str());
  const auto* sandbox = valid(pod);
  if (sandbox == nullptr) return failure("its network namespace is not there");
  if (auto checked = check_addresses(sandbox->netns.get(), pod.addresses); !checked) return std::unexpected(checked.error());
  return redirect::open_netns(culvert::format("/proc/self/fd/{}", sandbox->netns.get()).c_str());
}

std::string Sandboxes::where(const config::Pod& pod) const {
  const auto path = options_.annotation ? path_of(pod) : std::string();
  return path.empty() ? "network namespace" : "network namespace " + path;
}

bool Sandboxes::was_given(const config::Pod& pod) const {
  const auto found = sandboxes_.find(kubelet_uid(pod));
  return found != sandboxes_.end() && found->second.given;
}

// The pod's, if it still is: a process that is known to be in it is asked again each time, which costs little. One that came from the plugin may
// have no process yet.
Sandboxes::Sandbox* Sandboxes::valid(const config::Pod& pod) {
  const auto uid = kubelet_uid(pod);
  const auto find = [&]() -> Sandbox* {
    const auto found = sandboxes_.find(uid);
    if (found == sandboxes_.end()) return nullptr;
    auto& sandbox = found->second;
    const bool ended = sandbox.pid != 0 && !is_of_pod(options_.proc, sandbox.pid, uid, sandbox.inode);
    return ended ? nullptr : &sandbox;
  };
  auto* sandbox = find();
  if (!options_.processes) return sandbox;
  look(sandbox == nullptr);
  if (const auto process = seen_.find(uid); process != seen_.end()) take(uid, process->second);
  sandbox = find();
  if (sandbox == nullptr) sandboxes_.erase(uid);
  return sandbox;
}

void Sandboxes::look(bool missing) {
  const auto now = Clock::now();
  if (looked_ != Clock::time_point{} && now - looked_ < (missing ? options_.least : options_.every)) return;
  seen_ = pod_processes(options_.proc);
  looked_ = Clock::now();
}

void Sandboxes::take(const std::string& uid, const PodProcess& process) {
  auto& sandbox = sandboxes_[uid];
  if (sandbox.inode == process.netns) {
    sandbox.pid = process.pid;
    return;
  }
  // What was seen a while ago may be over: the plugin's newer word stands against it.
  auto netns = redirect::open_netns(culvert::format("{}/{}/ns/net", options_.proc.string(), process.pid).c_str());
  const bool still =
      netns && inode_of(netns->get()) == process.netns && is_of_pod(options_.proc, process.pid, uid, process.netns);
  if (!still) {
    seen_.erase(uid);
    if (sandbox.inode == 0) sandboxes_.erase(uid);
    return;
  }
  sandbox = {.netns = *std::move(netns), .inode = process.netns, .pid = process.pid, .given = false};
}

}  // namespace culvert::agent
