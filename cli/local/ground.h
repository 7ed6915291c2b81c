#pragma once
// What a world stands on: mounts, cgroups and network namespaces of the world, its nodes and its pods. Runs in the world's first process.
//
//   /run/culvert.world/   in memory, seen by the world alone: config/ (what culvertd reads), logs/, pods/, nodes/, cgroup/, zone
//   /run/netns/NAME       node1, control's own is "control"; pods are "<namespace>.<name>"
//   cgroup2               culvert.local.<world>/{control,node<i>/{kubelet,node-agent,ztunnel,dns,pods/<namespace>_<name>}}
//
// A pod sees the machine's files through an overlay in memory: it may write anywhere, and nothing of it stays.

#include <string>
#include <vector>

#include "cli/local/layout.h"
#include "cli/local/root.h"
#include "cli/local/spawn.h"

namespace culvert::local {

inline constexpr std::string_view kWorldFolder = "/run/culvert.world";

std::string world_path(std::string_view below);   // "/run/culvert.world/BELOW"
std::string cgroup_name(std::string_view world);  // "culvert.local.WORLD"

// For the world's first process, in its new PID, mount, network, UTS and IPC namespaces. Everything later stands on this.
Status ground_world(const std::string& world);

// Removes what a world of this name left behind: its cgroups (all else went with its first process). For whoever called `up` or `down`.
// Fails when they are still in use.
Status remove_cgroups(const std::string& world);

// A folder of the world's cgroup, made when missing. `below` as "node1/ztunnel".
Result<Fd> cgroup(const std::string& world, const std::string& below);
// Kills all that runs in it and removes it, as soon as it is empty.
void end_cgroup(const std::string& world, const std::string& below);
std::string pod_cgroup(const PodPlan& pod);

// Network namespaces of nodes and pods, joined to the others. The place's cgroup is left to the caller.
Result<Place> make_node(const std::string& world, int node, int nodes);
Result<Place> make_pod(const std::string& world, const PodPlan& pod, const std::vector<Mount>& mounts, const Place& node);
void remove_pod(const std::string& world, const PodPlan& pod);

std::string netns_name(const PodPlan& pod);
std::string netns_path(const PodPlan& pod);
std::string pod_folder(const PodPlan& pod);

// The same place with another cgroup (duplicated descriptors).
Result<Place> in_cgroup(const Place& place, Fd cgroup);

}  // namespace culvert::local
