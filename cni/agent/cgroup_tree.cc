#include "cni/agent/cgroup_tree.h"

#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "bpf/loader/cgroup.h"
#include "cni/agent/cgroup_path.h"

namespace culvert::agent {
namespace {

bool is_roots_folder(const std::filesystem::path& folder) {
  struct stat status{};
  return ::lstat(folder.c_str(), &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == 0;
}

}  // namespace

CgroupTree::CgroupTree(const std::filesystem::path& proc) {
  std::ifstream in(proc / "self" / "mountinfo");
  mounts_ = parse_mountinfo(std::string(std::istreambuf_iterator<char>(in), {}));
}

std::string CgroupTree::pod_of(std::string_view cgroup) const {
  for (const auto& line : cgroup_lines(cgroup)) {
    auto pod = pod_of_path(line.path);
    if (!pod.uid.empty() && is_roots(line.controllers, pod.path)) return std::move(pod.uid);
  }
  return {};
}

bool CgroupTree::is_roots(std::string_view cgroup) const {
  return std::ranges::any_of(cgroup_lines(cgroup),
                             [&](const auto& line) { return line.controllers.empty() && is_roots("", line.path); });
}

bool CgroupTree::is_roots(std::string_view controllers, std::string_view path) const {
  const auto place = bpf::cgroup_place(mounts_, controllers, path);
  if (!place) return false;
  auto folder = place->mount;
  return std::ranges::all_of(place->below, [&](const auto& name) { return is_roots_folder(folder /= name); });
}

}  // namespace culvert::agent
