#pragma once
// What a Datapath holds. Internal to the loader.

#include <bpf/libbpf.h>

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bpf/include/culvert_abi.h"
#include "bpf/loader/datapath.h"
#include "bpf/loader/maps.h"
#include "common/base/format.h"
#include "culvert_lookup_bpf.skel.h"
#include "culvert_node_bpf.skel.h"

namespace culvert::bpf {

// The folder of one ABI version's maps below PIN_DIR.
inline std::string version_folder(unsigned version) { return culvert::format("v{}", version); }
// The folder of the maps that all versions share, as long as their own layout is the same.
inline std::string shared_folder() { return culvert::format("shared-v{}", CULVERT_SHARED_ABI_VERSION); }

// The name of a cgroup hook's link: each version has its own, so that two may be attached at once.
inline std::string hook_name(std::string_view hook) {
  return culvert::format("{}-{}", hook, version_folder(CULVERT_ABI_VERSION));
}

struct DestroyNode {
  void operator()(culvert_node_bpf* node) const { culvert_node_bpf::destroy(node); }
};
struct DestroyLookup {
  void operator()(culvert_lookup_bpf* lookup) const { culvert_lookup_bpf::destroy(lookup); }
};

// The keys of a map by the pod that they are of.
template <class Key>
using Held = std::optional<std::map<std::uint64_t, std::vector<Key>>>;

struct Datapath::State {
  std::filesystem::path pin_dir;
  std::filesystem::path cgroup_root;
  std::uint64_t host_netns_cookie = 0;
  bool fresh = false;
  std::map<std::uint64_t, std::unique_ptr<culvert_lookup_bpf, DestroyLookup>>
      prepared;  // sk_lookup of captured pods, until activate()
  // What is in own_addresses and in probe_ports, once it was asked for: an event of one pod does not list those of all.
  Held<culvert_own_key> owned;
  Held<culvert_probe_port_key> probed;
  std::unique_ptr<culvert_node_bpf, DestroyNode> node;

  std::filesystem::path link(std::string_view name) const { return pin_dir / "links" / name; }
  std::filesystem::path hook_link(std::string_view hook) const { return link(hook_name(hook)); }
  std::filesystem::path lookup_link(std::uint64_t cookie) const { return link(culvert::format("pod-{}", cookie)); }

  Map<culvert_pod_key, culvert_pod> pods() const { return {bpf_map__fd(node->maps.pods), "pods"}; }
  Map<culvert_pod_key, culvert_sysctls> sysctls() const { return {bpf_map__fd(node->maps.pod_sysctls), "pod_sysctls"}; }
  Map<culvert_own_key, culvert_present> own_addresses() const { return {bpf_map__fd(node->maps.own_addresses), "own_addresses"}; }
  Map<culvert_probe_port_key, culvert_present> probe_ports() const {
    return {bpf_map__fd(node->maps.probe_ports), "probe_ports"};
  }
  Map<culvert_listener_key, __u64> listeners() const { return {bpf_map__fd(node->maps.listeners), "listeners"}; }
  Map<culvert_cgroup_key, culvert_present> exempt() const { return {bpf_map__fd(node->maps.exempt_cgroups), "exempt_cgroups"}; }
  Map<culvert_cgroup_key, culvert_present> kubelets() const {
    return {bpf_map__fd(node->maps.kubelet_cgroups), "kubelet_cgroups"};
  }
};

// An error of libbpf's: `code` is negative errno.
std::unexpected<Error> libbpf_failure(std::string_view what, int code);

// libbpf's own messages go to our log, scope "bpf".
void log_libbpf();

}  // namespace culvert::bpf
