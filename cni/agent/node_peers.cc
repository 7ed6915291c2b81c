// Whose connections pass by the pods' capture: ztunnels, known by the cgroup of their ZDS connection, and the kubelet, whose probes reach applications.

#include <algorithm>
#include <chrono>
#include <ranges>
#include <utility>

#include "bpf/loader/cgroup.h"
#include "cni/agent/kubelet.h"
#include "cni/agent/node.h"
#include "cni/agent/processes.h"
#include "cni/agent/scope.h"
#include "common/base/log.h"

namespace culvert::agent {
namespace {

using namespace std::chrono_literals;

constexpr auto kKubeletPause = 5s;  // between two looks for it among all processes

}  // namespace

void Node::note_missing_ztunnel() {
  const bool missing = !members_.empty() && !zds_->has_ztunnel();
  if (missing == std::exchange(ztunnel_missing_, missing)) return;
  if (!missing) return health_.recovered("ztunnels");
  health_.failing("ztunnels", "no_ztunnel", "none is connected: pods that join wait, captured connections are refused");
}

void Node::find_kubelet() {
  if (settings_.kubelet_cgroups.empty() && !settings_.kubernetes()) return;
  if (net::Clock::now() < kubelet_due_) return;
  const auto folders = kubelet_folders();
  std::vector<std::uint64_t> ids;
  for (const auto& folder : folders) {
    const auto id = bpf::cgroup_id(folder);
    if (id) {
      if (!std::ranges::contains(ids, *id)) ids.push_back(*id);
      health_.recovered("kubelet cgroup " + folder.string());
    } else {
      health_.failing("kubelet cgroup " + folder.string(), "kubelet", id.error().text);
    }
  }
  if (!settings_.kubernetes()) note_foreign_kubelet(foreign_kubelet(folders));
  if (settings_.kubernetes() && !ids.empty()) kubelet_due_ = net::Clock::now() + kKubeletPause;
  if (ids == kubelet_) return;
  if (auto set = datapath_.set_kubelet_cgroups(ids); !set) return health_.failing("kubelet cgroups", "kubelet", set.error().text);
  health_.recovered("kubelet cgroups");
  kubelet_ = std::move(ids);
}

void Node::note_foreign_kubelet(const std::string& trouble) {
  if (trouble == kubelet_trouble_) return;
  kubelet_trouble_ = trouble;
  if (trouble.empty()) return health_.recovered("network namespace");
  log::warn(scope::kNode, trouble);
  health_.failing("network namespace", "kubelet", trouble);
}

// The folders of the settings (an absolute one stands for itself), or those that kubelets are found in.
std::vector<std::filesystem::path> Node::kubelet_folders() {
  std::vector<std::filesystem::path> folders;
  for (const auto& folder : settings_.kubelet_cgroups) folders.push_back(datapath_.cgroup_root() / folder);
  if (!folders.empty()) return folders;
  for (const auto pid : Processes().kubelets()) {
    if (auto folder = bpf::cgroup_of(pid)) folders.push_back(*std::move(folder));
  }
  if (folders.empty())
    health_.failing("kubelet", "kubelet",
                    "none is found among the node's processes: its probes are captured like other connections "
                    "(run culvert-node in the node's process ids, or set CULVERT_KUBELET_CGROUPS)");
  else health_.recovered("kubelet");
  return folders;
}

Status Node::ztunnel_arrived(pid_t pid) {
  if (pid == 0) return failure("its process cannot be seen from here (run culvert-node in the host's PID namespace)");
  const auto folder = bpf::cgroup_of(pid);
  if (!folder) return std::unexpected(folder.error());
  const auto id = bpf::cgroup_id(*folder);
  if (!id) return std::unexpected(id.error());
  const bool anew = exempt_.insert_or_assign(*id, *folder).second;
  auto exempted = exempt();
  if (!exempted) {
    if (anew) exempt_.erase(*id);
    health_.failing("ztunnel", "zds", exempted.error().text);
    return exempted;
  }
  health_.recovered("ztunnel");
  return {};
}

// It listens in every pod: what comes from now on is its own, also where one before it still holds a socket. Not so one that a younger one takes over from:
// it comes back to a new agent at any time, and is about to end.
void Node::ztunnel_synchronised(pid_t pid) {
  log::info(scope::kNode, "ztunnel has all pods", {log::field("pid", pid)});
  if (zds_->ztunnels().back() == pid) return give_slots_to(pid);
  if (auto filled = refill_slots(); !filled) health_.failing("slots", "fill_slots", filled.error().text);
}

// The one that stays gets the slots at once, whether or not the other's sockets are closed yet.
void Node::ztunnel_left() {
  if (const auto connected = zds_->ztunnels(); !connected.empty()) give_slots_to(connected.back());
}

Status Node::exempt() {
  std::vector<std::uint64_t> ids;
  for (const auto& [id, folder] : exempt_) ids.push_back(id);
  return datapath_.set_exempt_cgroups(ids);
}

std::size_t Node::exempt_cgroups() const { return datapath_.exempt_cgroups().value_or(std::vector<std::uint64_t>()).size(); }

// Of those of an agent before us the kernel tells no more than the numbers.
void Node::find_exempt() {
  std::set<std::uint64_t> sought;
  for (const auto& [id, folder] : exempt_) {
    if (folder.empty()) sought.insert(id);
  }
  if (sought.empty()) return;
  const auto root = bpf::cgroup2_root();
  const auto found = root ? bpf::find_cgroups(*root, sought) : std::unexpected(root.error());
  if (!found) return health_.failing("ztunnel cgroups", "zds", found.error().text);
  health_.recovered("ztunnel cgroups");
  for (const auto id : sought) exempt_.erase(id);
  exempt_.insert(found->begin(), found->end());
  if (auto done = exempt(); !done) health_.failing("ztunnel", "zds", done.error().text);
}

// One that has left may still drain, or be on its way back to us: it is exempt as long as a process of it lives.
void Node::expel_ended_ztunnels() {
  find_exempt();
  const auto ended = [](const auto& one) { return !one.second.empty() && !bpf::cgroup_populated(one.second, one.first); };
  if (std::erase_if(exempt_, ended) == 0) return;
  if (auto done = exempt(); !done) health_.failing("ztunnel", "zds", done.error().text);
}

// The newest first: what stands empty is its to have.
Status Node::refill_slots() {
  auto ztunnels = zds_->ztunnels();
  std::ranges::reverse(ztunnels);
  for (const auto pid : ztunnels) {
    if (auto filled = datapath_.refill_listeners(pid); !filled) return filled;
  }
  health_.recovered("slots");
  return {};
}

void Node::give_slots_to(pid_t ztunnel) {
  auto filled = datapath_.refill_listeners(ztunnel, bpf::Refill::kReplace);
  if (filled) filled = refill_slots();
  if (!filled) health_.failing("slots", "fill_slots", filled.error().text);
}

}  // namespace culvert::agent
