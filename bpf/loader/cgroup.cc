#include "bpf/loader/cgroup.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <ranges>
#include <string>
#include <vector>

#include "common/base/fd.h"
#include "common/base/file.h"
#include "common/base/format.h"

namespace culvert::bpf {

namespace {

// How much of the tree a mount leaves out: "/" is the root of the cgroup namespace that it is looked at from, and "/../.." two levels above that.
std::ptrdiff_t depth_of(std::string_view root) {
  std::ptrdiff_t depth = 0;
  for (auto part : root | std::views::split('/')) {
    const std::string_view name(part.begin(), part.end());
    if (!name.empty()) depth += name == ".." ? -1 : 1;
  }
  return depth;
}

// What of `path` is below `root`, both as seen from one cgroup namespace: "/../a/b" is "b" below "/../a". Nothing when it is not below.
std::optional<std::string_view> below(std::string_view path, std::string_view root) {
  while (root.ends_with('/')) root.remove_suffix(1);
  if (!path.starts_with(root)) return std::nullopt;
  path.remove_prefix(root.size());
  if (!path.empty() && !path.starts_with('/')) return std::nullopt;
  while (path.starts_with('/')) path.remove_prefix(1);
  if (path == ".." || path.starts_with("../")) return std::nullopt;
  return path;
}

// Whether a mount is of the hierarchy of these controllers, all of which its options name; of cgroup2 when there are none.
bool shows(const Mount& mount, std::string_view controllers) {
  if (controllers.empty()) return mount.type == "cgroup2";
  const auto named = [&](auto controller) {
    return std::ranges::any_of(mount.options | std::views::split(','),
                               [&](auto option) { return std::ranges::equal(option, controller); });
  };
  return mount.type == "cgroup" && std::ranges::all_of(controllers | std::views::split(','), named);
}

}  // namespace

Result<std::filesystem::path> cgroup2_root(std::string_view mountinfo) {
  const Mount* best = nullptr;
  const auto mounts = parse_mountinfo(mountinfo);
  for (const auto& mount : mounts) {
    if (mount.type == "cgroup2" && (best == nullptr || depth_of(mount.root) < depth_of(best->root))) best = &mount;
  }
  if (best == nullptr)
    return failure("looking for cgroup2 in /proc/self/mountinfo: it is not mounted (mount -t cgroup2 none /sys/fs/cgroup)");
  return best->point;
}

Result<std::filesystem::path> cgroup2_root() {
  const auto mountinfo = read_file("/proc/self/mountinfo");
  if (!mountinfo) return std::unexpected(mountinfo.error());
  return cgroup2_root(*mountinfo);
}

Result<std::uint64_t> cgroup_id(const std::filesystem::path& folder) {
  struct stat info{};
  if (::stat(folder.c_str(), &info) != 0) return failure_errno(culvert::format("reading the id of cgroup {}", folder.string()));
  if (!S_ISDIR(info.st_mode)) return failure(culvert::format("reading the id of cgroup {}: it is not a folder", folder.string()));
  return info.st_ino;
}

bool cgroup_populated(const std::filesystem::path& folder, std::uint64_t id) {
  const Fd it(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!it) return errno != ENOENT;
  struct stat info{};
  if (::fstat(it.get(), &info) == 0 && info.st_ino != id) return false;  // another of the same name
  const Fd events(::openat(it.get(), "cgroup.events", O_RDONLY | O_CLOEXEC));
  if (!events) return errno != ENODEV && errno != ENOENT;
  std::array<char, 256> text{};
  const auto size = ::read(events.get(), text.data(), text.size());
  if (size < 0) return errno != ENODEV;
  return !std::string_view(text.data(), static_cast<std::size_t>(size)).contains("populated 0");
}

Result<std::map<std::uint64_t, std::filesystem::path>> find_cgroups(const std::filesystem::path& root,
                                                                    const std::set<std::uint64_t>& ids) {
  std::map<std::uint64_t, std::filesystem::path> found;
  const auto note = [&](const std::filesystem::path& folder) {
    if (const auto id = cgroup_id(folder); id && ids.contains(*id)) found.emplace(*id, folder);
  };
  std::vector<std::filesystem::path> open{root};
  while (!open.empty() && found.size() < ids.size()) {
    const auto folder = std::move(open.back());
    open.pop_back();
    std::error_code problem;
    std::filesystem::directory_iterator entry(folder, problem), end;
    if (problem && folder == root) return failure(culvert::format("reading {}: {}", root.string(), problem.message()));
    for (; !problem && entry != end; entry.increment(problem)) {  // one that ends meanwhile is passed over
      std::error_code gone;
      if (entry->symlink_status(gone).type() != std::filesystem::file_type::directory) continue;
      note(entry->path());
      open.push_back(entry->path());
    }
  }
  return found;
}

Result<CgroupPlace> cgroup_place(std::span<const Mount> mounts, std::string_view controllers, std::string_view path) {
  std::vector<std::string> covered;
  for (const Mount& mount : mounts | std::views::reverse) {
    if (std::ranges::contains(covered, mount.point)) continue;
    covered.push_back(mount.point);
    if (!shows(mount, controllers)) continue;
    if (const auto rest = below(path, mount.root)) return CgroupPlace{.mount = mount.point, .below = *rest};
  }
  return failure(
      culvert::format("looking for cgroup {}: no {} in /proc/self/mountinfo shows it (mount the node's /sys/fs/cgroup)", path,
                      controllers.empty() ? "cgroup2" : controllers));
}

Result<std::filesystem::path> cgroup_folder(std::string_view mountinfo, std::string_view path) {
  const auto place = cgroup_place(parse_mountinfo(mountinfo), "", path);
  if (!place) return std::unexpected(place.error());
  return place->folder();
}

Result<std::filesystem::path> cgroup_of(pid_t process) {
  const auto path = culvert::format("/proc/{}/cgroup", process);
  const auto text = read_file(path);
  if (!text) return std::unexpected(text.error());
  const auto mountinfo = read_file("/proc/self/mountinfo");
  if (!mountinfo) return std::unexpected(mountinfo.error());
  for (auto part : *text | std::views::split('\n')) {
    const std::string_view line(part.begin(), part.end());
    if (line.starts_with("0::/")) return cgroup_folder(*mountinfo, line.substr(3));
  }
  return failure(culvert::format("reading {}: no cgroup2 in it", path));
}

}  // namespace culvert::bpf
