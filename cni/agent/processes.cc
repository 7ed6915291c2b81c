#include "cni/agent/processes.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <iterator>
#include <ranges>
#include <sstream>
#include <string_view>
#include <tuple>

namespace culvert::agent {
namespace {

namespace fs = std::filesystem;

// What kubelets are called. The kernel cuts a name after 15 letters.
constexpr std::array<std::string_view, 6> kKubelets = {"kubelet", "k3s-agent", "k3s-server", "kubelite", "k0s", "hyperkube"};
constexpr std::size_t kMostKubelets = 4;

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

bool is_older(const PodProcess& one, const PodProcess& other) {
  return std::tie(one.started, one.pid) < std::tie(other.started, other.pid);
}

// Real, effective, saved and of the file system: "Uid:\t0\t0\t0\t0" in /proc/PID/status. In our user namespace: root of another is none.
bool runs_as_root(const fs::path& process) {
  std::istringstream lines(read(process / "status"));
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("Uid:")) return line == "Uid:\t0\t0\t0\t0";
  }
  return false;
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

std::optional<std::uint64_t> Processes::started(pid_t pid) const {
  const auto ticks = start_of(folder(pid));
  return ticks == UINT64_MAX ? std::nullopt : std::optional(ticks);
}

std::map<std::string, std::vector<PodProcess>> Processes::of_pods() const {
  std::map<std::string, std::vector<PodProcess>> found;
  const auto host = netns_of(folder(1));
  each_process(proc_, [&](pid_t pid, const fs::path& process) {
    const auto uid = cgroups_.pod_of(read(process / "cgroup"));
    if (uid.empty()) return;
    const PodProcess one{.pid = pid, .netns = netns_of(process), .started = start_of(process)};
    if (one.netns == 0 || one.netns == host) return;
    auto& of_pod = found[uid];
    const auto same = std::ranges::find(of_pod, one.netns, &PodProcess::netns);
    if (same == of_pod.end()) of_pod.push_back(one);
    else if (is_older(one, *same)) *same = one;
  });
  for (auto& [uid, of_pod] : found) std::ranges::sort(of_pod, is_older);
  return found;
}

bool Processes::is_of_pod(pid_t pid, const std::string& uid, std::uint64_t netns) const {
  return netns_of(folder(pid)) == netns && cgroups_.pod_of(read(folder(pid) / "cgroup")) == uid;
}

std::vector<pid_t> Processes::kubelets() const {
  std::vector<PodProcess> found;
  const auto host = netns_of(folder(1));
  each_process(proc_, [&](pid_t pid, const fs::path& process) {
    auto name = read(process / "comm");
    if (name.ends_with('\n')) name.pop_back();
    if (!std::ranges::contains(kKubelets, name) || netns_of(process) != host || !runs_as_root(process)) return;
    const auto cgroup = read(process / "cgroup");
    if (!cgroups_.is_roots(cgroup) || !cgroups_.pod_of(cgroup).empty()) return;
    found.push_back({.pid = pid, .netns = host, .started = start_of(process)});
  });
  std::ranges::sort(found, is_older);
  std::vector<pid_t> pids;
  for (const auto& one : found | std::views::take(kMostKubelets)) pids.push_back(one.pid);
  return pids;
}

}  // namespace culvert::agent
