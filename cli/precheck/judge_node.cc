// Nodes: by the API, and by what a look at the machine says.
#include <algorithm>
#include <cstdio>
#include <map>

#include "cli/objects/objects.h"
#include "cli/precheck/judge.h"
#include "common/base/format.h"

namespace culvert::cli::precheck {
namespace {

namespace json = boost::json;
using node_facts::CniFile;
using node_facts::Facts;

constexpr int kKernelMajor = 5, kKernelMinor = 17;
constexpr int kLeastMtu = 1280;  // of IPv6
// What our programs listen on where they share the node's network namespace.
constexpr std::pair<std::uint16_t, std::string_view> kNodePorts[] = {
    {8000, "culvert-node's probes"}, {9876, "culvert-node's pages"}, {15014, "metrics"}};

// "5.14.0-427.13.1.el9_4.x86_64": of RHEL 9.4 and newer, which has under that number what others have under a newer one.
bool is_backported(const std::string& kernel) {
  constexpr int kFirstBuild = 427;
  int build = 0;
  return kernel.contains(".el9") && std::sscanf(kernel.c_str(), "5.14.0-%9d", &build) == 1 && build >= kFirstBuild;
}

Finding kernel_finding(const std::string& where, const std::string& kernel) {
  if (is_at_least(kernel, kKernelMajor, kKernelMinor)) return {"CVT0201", Level::kOk, where, "Linux " + kernel, ""};
  if (is_backported(kernel))
    return {"CVT0201", Level::kWarning, where,
            culvert::format("Linux {} should have what is needed, though its number is lower", kernel),
            "try it on one node first: culvert-node says at its start what the kernel lacks"};
  return {"CVT0201", Level::kError, where, culvert::format("Linux {} is too old", kernel),
          culvert::format("boot {}.{} or newer: Debian 12, Ubuntu 22.04 with its HWE kernel, RHEL 9.4, or newer", kKernelMajor,
                          kKernelMinor)};
}

bool is_ours(const CniFile& file) { return file.path.ends_with("/00-culvert.conflist"); }

Finding cni_finding(const std::string& where, const Facts& facts) {
  const auto usable = std::ranges::find_if(facts.cni, [](const CniFile& file) { return file.error.empty() && !is_ours(file); });
  if (usable != facts.cni.end()) {
    std::string plugins;
    for (const std::string& each : usable->plugins) plugins += (plugins.empty() ? "" : ", ") + each;
    const bool multus = std::ranges::contains(usable->plugins, "multus") || usable->path.contains("/multus/");
    return {
        "CVT0206", multus ? Level::kInfo : Level::kOk, where, culvert::format("{}: {}", usable->path, plugins),
        multus ? "Multus calls the plugins: install with --profile openshift, or cni.chained=false and cni.cniConfFileName" : ""};
  }
  if (!facts.cni.empty() && !is_ours(facts.cni.front()))
    return {"CVT0206", Level::kError, where, culvert::format("{} {}", facts.cni.front().path, facts.cni.front().error),
            "mend or remove it: no pod starts with it"};
  return {"CVT0206", Level::kWarning, where, "there is no CNI configuration in the folders that are known",
          "install the cluster's CNI first; where its folder is another one, set cni.cniConfDir and cni.cniBinDir"};
}

void add_kernel(Findings& out, const std::string& where, const Facts& facts) {
  out.push_back(kernel_finding(where, facts.kernel));
  out.push_back(facts.btf ? Finding{"CVT0202", Level::kOk, where, "BTF is there", ""}
                          : Finding{"CVT0202", Level::kError, where, "there is no /sys/kernel/btf/vmlinux",
                                    "boot a kernel that was built with CONFIG_DEBUG_INFO_BTF"});
  out.push_back(!facts.cgroup2.empty() ? Finding{"CVT0203", Level::kOk, where, "cgroup v2 at " + facts.cgroup2, ""}
                                       : Finding{"CVT0203", Level::kError, where, "cgroup v2 is mounted nowhere",
                                                 "mount it (mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified is enough), or boot "
                                                 "with systemd.unified_cgroup_hierarchy=1"});
  out.push_back(facts.bpffs ? Finding{"CVT0204", Level::kOk, where, "a bpffs is at /sys/fs/bpf", ""}
                            : Finding{"CVT0204", Level::kError, where, "no bpffs is mounted at /sys/fs/bpf",
                                      "mount -t bpf bpf /sys/fs/bpf, and have it mounted at boot"});
  if (facts.lockdown == "confidentiality")
    out.push_back({"CVT0205", Level::kError, where, "the kernel's lockdown is `confidentiality`: BPF programs may read nothing",
                   "boot with lockdown=integrity, or without"});
  if (facts.selinux)
    out.push_back({"CVT0205", Level::kInfo, where, "SELinux is enforcing",
                   "if a DaemonSet of ours is refused: cni.seLinuxOptions.type=spc_t and ztunnel.seLinuxOptions.type=spc_t (the "
                   "profile openshift has that)"});
}

void add_network(Findings& out, const std::string& where, const Facts& facts) {
  for (const auto& [port, what] : kNodePorts) {
    if (std::ranges::contains(facts.listening, port))
      out.push_back({"CVT0207", Level::kInfo, where,
                     culvert::format("TCP port {} of the node is in use ({} with Culvert)", port, what),
                     "of no matter, unless cni.ambient.shareHostNetworkNamespace is set, or Culvert runs here already"});
  }
  for (const auto& each : facts.interfaces) {
    if (!each.is_default) continue;
    if (each.mtu >= kLeastMtu)
      out.push_back({"CVT0208", Level::kOk, where, culvert::format("{} has an MTU of {}", each.name, each.mtu), ""});
    else
      out.push_back({"CVT0208", Level::kWarning, where, culvert::format("{} has an MTU of {}", each.name, each.mtu),
                     culvert::format("at least {} is needed for IPv6", kLeastMtu)});
  }
}

}  // namespace

bool is_at_least(const std::string& version, int major, int minor) {
  int has_major = 0, has_minor = 0;
  const char* digits = version.c_str() + (version.starts_with('v') ? 1 : 0);
  if (std::sscanf(digits, "%9d.%9d", &has_major, &has_minor) != 2) return false;
  return has_major > major || (has_major == major && has_minor >= minor);
}

Findings judge_nodes(const json::array& nodes) {
  Findings out;
  std::map<std::string, std::size_t> machines;
  for (const json::value& node : nodes) {
    const std::string where = name_of(node), system = text_at(node, "/status/nodeInfo/operatingSystem");
    if (system != "linux") {
      out.push_back({"CVT0209", Level::kInfo, where, "runs " + system + ": its pods stay outside of the mesh", ""});
      continue;
    }
    ++machines[text_at(node, "/status/nodeInfo/architecture")];
    out.push_back(kernel_finding(where, text_at(node, "/status/nodeInfo/kernelVersion")));
  }
  if (machines.size() > 1) {
    std::string all;
    for (const auto& [machine, of_it] : machines) all += culvert::format("{}{} {}", all.empty() ? "" : ", ", of_it, machine);
    out.push_back({"CVT0209", Level::kWarning, "cluster", "nodes are of several architectures: " + all,
                   "the images have to be there for each; else keep the DaemonSets off the others by nodeSelector"});
  }
  return out;
}

Findings judge_facts(const std::string& where, const Facts& facts) {
  Findings out;
  add_kernel(out, where, facts);
  out.push_back(cni_finding(where, facts));
  add_network(out, where, facts);
  return out;
}

Findings compare_facts(const std::vector<std::pair<std::string, Facts>>& nodes) {
  std::map<int, std::vector<std::string>> mtus;
  for (const auto& [name, facts] : nodes) {
    for (const auto& each : facts.interfaces)
      if (each.is_default) mtus[each.mtu].push_back(name);
  }
  if (mtus.size() < 2) return {};
  std::string all;
  for (const auto& [mtu, of] : mtus)
    all += culvert::format("{}{} on {}{}", all.empty() ? "" : ", ", mtu, of.front(),
                           of.size() > 1 ? culvert::format(" and {} more", of.size() - 1) : "");
  return {{"CVT0208", Level::kWarning, "cluster", "nodes have different MTUs: " + all,
           "large transfers between them may hang unless path MTU discovery works: set one MTU"}};
}

}  // namespace culvert::cli::precheck
