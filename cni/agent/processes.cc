#include "cni/agent/processes.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <iterator>
#include <string_view>

#include "cni/agent/cgroup_path.h"

namespace culvert::agent {
namespace {

namespace fs = std::filesystem;

// What kubelets are called. The kernel cuts a name after 15 letters.
constexpr std::array<std::string_view, 6> kKubelets = {"kubelet", "k3s-agent", "k3s-server", "kubelite", "k0s", "hyperkube"};

std::string read(const fs::path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::uint64_t netns_of(const fs::path& process) {
  struct stat status{};
  return ::stat((process / "ns" / "net").c_str(), &status) == 0 ? status.st_ino : 0;
}

// Field 22 of /proc/PID/stat. The second is the program's name in brackets, which may hold anything.
std::uint64_t start_of(const fs::path& process) {
  const auto text = read(process / "stat");
  const auto bracket = text.rfind(')');
  if (bracket == text.npos) return UINT64_MAX;
  auto rest = std::string_view(text).substr(bracket + 1);
  for (int field = 2; field < 22; ++field) {
    const auto space = rest.find(' ');
    if (space == rest.npos) return UINT64_MAX;
    rest.remove_prefix(space + 1);
  }
  std::uint64_t ticks = UINT64_MAX;
  std::from_chars(rest.data(), rest.data() + rest.size(), ticks);
  return ticks;
}

template <class Each>
void each_process(const fs::path& proc, Each each) {
  std::error_code problem;
  for (fs::directory_iterator entry(proc, problem), end; !problem && entry != end; entry.increment(problem)) {
    const auto name = entry->path().filename().string();
    pid_t pid = 0;
    const auto [rest, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (error == std::errc() && rest == name.data() + name.size()) each(pid, entry->path());
  }
}

}  // namespace

std::map<std::string, PodProcess> pod_processes(const fs::path& proc) {
  std::map<std::string, PodProcess> found;
  const auto host = netns_of(proc / "1");
  each_process(proc, [&](pid_t pid, const fs::path& process) {
    const auto uid = pod_of_cgroup(read(process / "cgroup"));
    if (uid.empty()) return;
    const PodProcess one{.pid = pid, .netns = netns_of(process), .started = start_of(process)};
    if (one.netns == 0 || one.netns == host) return;
    auto& oldest = found[uid];
    if (oldest.pid == 0 || one.started < oldest.started || (one.started == oldest.started && pid < oldest.pid)) oldest = one;
  });
  return found;
}

bool is_of_pod(const fs::path& proc, pid_t pid, const std::string& uid, std::uint64_t netns) {
  const auto process = proc / std::to_string(pid);
  return netns_of(process) == netns && pod_of_cgroup(read(process / "cgroup")) == uid;
}

std::vector<pid_t> kubelets(const fs::path& proc) {
  std::vector<pid_t> found;
  const auto host = netns_of(proc / "1");
  each_process(proc, [&](pid_t pid, const fs::path& process) {
    auto name = read(process / "comm");
    if (name.ends_with('\n')) name.pop_back();
    if (!std::ranges::contains(kKubelets, name) || netns_of(process) != host) return;
    if (pod_of_cgroup(read(process / "cgroup")).empty()) found.push_back(pid);
  });
  return found;
}

}  // namespace culvert::agent
