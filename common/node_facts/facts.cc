#include "common/node_facts/facts.h"

#include <sys/utsname.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>

namespace culvert::node_facts {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostBytes = 1024 * 1024;  // of a CNI configuration
// Where runtimes look, on the platforms that the charts know (helm/cni/templates/_names.tpl).
constexpr const char* kCniFolders[] = {"etc/cni/net.d", "var/lib/rancher/k3s/agent/etc/cni/net.d",
                                       "var/snap/microk8s/current/args/cni-network", "etc/cni/multus/net.d",
                                       "etc/kubernetes/cni/net.d"};
// Of these there is one for each pod.
constexpr std::string_view kPodInterfaces[] = {"veth", "cali", "lxc", "eni", "lo", "azv", "gke"};

std::string text_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// "none [integrity] confidentiality": what is in force stands in brackets.
std::string chosen_in(const std::string& text) {
  const auto begin = text.find('['), end = text.find(']');
  return begin == text.npos || end == text.npos ? "" : text.substr(begin + 1, end - begin - 1);
}

// Where a mount is on the machine: without the root that is mounted here. Empty when it is none of the machine's.
std::string on_machine(const std::string& point, const std::string& root) {
  if (root == "/") return point;
  return point.starts_with(root + "/") ? point.substr(root.size()) : "";
}

void read_mounts(const std::string& root, Facts& facts) {
  for (const Mount& mount : mounts_in(text_of("/proc/self/mountinfo"))) {
    const std::string point = on_machine(mount.point, root);
    if (point.empty()) continue;
    if (mount.type == "cgroup2" && facts.cgroup2.empty()) facts.cgroup2 = point;
    if (mount.type == "bpf" && point == "/sys/fs/bpf") facts.bpffs = true;
  }
}

void read_cni(const fs::path& root, Facts& facts) {
  for (const char* folder : kCniFolders) {
    std::vector<fs::path> files;
    std::error_code error;
    for (fs::directory_iterator each(root / folder, error), end; !error && each != end; each.increment(error)) {
      const std::string extension = each->path().extension().string();
      const bool is_config = extension == ".conf" || extension == ".conflist" || extension == ".json";
      std::error_code ignored;
      if (is_config && each->file_size(ignored) <= kMostBytes) files.push_back(each->path());
    }
    std::ranges::sort(files);
    for (const fs::path& file : files)
      facts.cni.push_back(cni_file("/" + (fs::path(folder) / file.filename()).string(), text_of(file)));
  }
}

void read_network(const fs::path& root, Facts& facts) {
  for (const char* file : {"/proc/self/net/tcp", "/proc/self/net/tcp6"})
    std::ranges::copy(listening_in(text_of(file)), std::back_inserter(facts.listening));
  std::ranges::sort(facts.listening);
  const auto again = std::ranges::unique(facts.listening);
  facts.listening.erase(again.begin(), again.end());
  const std::string chosen = default_interface_in(text_of("/proc/self/net/route"));
  std::error_code error;
  for (fs::directory_iterator each(root / "sys/class/net", error), end; !error && each != end; each.increment(error)) {
    const std::string name = each->path().filename().string(), mtu = text_of(each->path() / "mtu");
    if (std::ranges::any_of(kPodInterfaces, [&](std::string_view begin) { return name.starts_with(begin); }) || mtu.empty())
      continue;
    facts.interfaces.push_back({name, std::stoi(mtu), name == chosen});
  }
  std::ranges::sort(facts.interfaces, {}, &Interface::name);
}

}  // namespace

Facts read_facts(const fs::path& root) {
  Facts facts;
  utsname about{};
  if (::uname(&about) == 0) {
    facts.kernel = about.release;
    facts.machine = about.machine;
  }
  std::error_code ignored;
  facts.btf = fs::exists(root / "sys/kernel/btf/vmlinux", ignored);
  facts.lockdown = chosen_in(text_of(root / "sys/kernel/security/lockdown"));
  facts.selinux = text_of(root / "sys/fs/selinux/enforce").starts_with('1');
  read_mounts(root.string(), facts);
  read_cni(root, facts);
  read_network(root, facts);
  return facts;
}

}  // namespace culvert::node_facts
