#include "cni/agent/sandboxes.h"

#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "cni/agent/enrol.h"
#include "cni/agent/scope.h"
#include "cni/redirect/netns.h"
#include "cni/redirect/redirect.h"
#include "common/base/format.h"
#include "common/base/log.h"

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

// A process that is known to be in it is asked again each time, which costs little. One that came from the plugin may have no process yet.
bool Sandboxes::lives(const std::string& uid, const Sandbox& sandbox) const {
  return sandbox.pid == 0 ? sandbox.given : processes_.is_of_pod(sandbox.pid, uid, sandbox.inode);
}

// The pod's, if it still is.
Sandboxes::Sandbox* Sandboxes::valid(const config::Pod& pod) {
  const auto uid = kubelet_uid(pod);
  const auto find = [&]() -> Sandbox* {
    const auto found = sandboxes_.find(uid);
    return found != sandboxes_.end() && lives(uid, found->second) ? &found->second : nullptr;
  };
  auto* sandbox = find();
  if (!options_.processes || (sandbox != nullptr && sandbox->pid != 0)) return sandbox;
  look(sandbox == nullptr);
  if (const auto processes = seen_.find(uid); processes != seen_.end()) take(pod, processes->second);
  sandbox = find();
  if (sandbox == nullptr) sandboxes_.erase(uid);
  return sandbox;
}

void Sandboxes::look(bool missing) {
  const auto now = Clock::now();
  if (looked_ != Clock::time_point{} && now - looked_ < (missing ? options_.least : options_.every)) return;
  processes_.refresh();
  seen_ = processes_.of_pods();
  looked_ = Clock::now();
}

// The oldest process is the pod's sandbox, unless its namespace is known and somebody lives in that.
void Sandboxes::take(const config::Pod& pod, const std::vector<PodProcess>& seen) {
  const auto uid = kubelet_uid(pod);
  if (const auto known = sandboxes_.find(uid); known != sandboxes_.end()) {
    auto& sandbox = known->second;
    const auto in_it = std::ranges::find(seen, sandbox.inode, &PodProcess::netns);
    if (in_it != seen.end() && processes_.is_of_pod(in_it->pid, uid, sandbox.inode)) {
      sandbox.pid = in_it->pid;
      return;
    }
    if (lives(uid, sandbox)) return;
  }
  for (const auto& process : seen) {
    if (auto found = sandbox_of(pod, process)) {
      sandboxes_[uid] = *std::move(found);
      return;
    } else {
      log::info(scope::kPods, found.error().text, {log::field("pod", pod.metadata.name_space + "/" + pod.metadata.name)});
    }
  }
  seen_.erase(uid);  // `seen` with it
}

// What was seen a while ago may be over: the plugin's newer word stands against it.
Result<Sandboxes::Sandbox> Sandboxes::sandbox_of(const config::Pod& pod, const PodProcess& process) const {
  auto netns = redirect::open_netns((processes_.folder(process.pid) / "ns" / "net").c_str());
  if (!netns) return std::unexpected(std::move(netns).error());
  if (inode_of(netns->get()) != process.netns || !processes_.is_of_pod(process.pid, kubelet_uid(pod), process.netns))
    return failure(culvert::format("process {} is the pod's no longer", process.pid));
  const auto ours = redirect::is_of_our_users(netns->get());
  if (!ours) return std::unexpected(ours.error());
  if (!*ours && pod.spec.host_users)
    return failure(culvert::format("the network namespace of process {} is not the node's: who has made it?", process.pid));
  return Sandbox{.netns = *std::move(netns), .inode = process.netns, .pid = process.pid, .given = false};
}

}  // namespace culvert::agent
