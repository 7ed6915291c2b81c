#include "bpf/loader/cgroup.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <optional>
#include <ranges>
#include <string>
#include <vector>

#include "common/base/fd.h"
#include "common/base/file.h"
#include "common/base/format.h"
#include "common/base/mounts.h"

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

// The folder is found by its id alone: a file handle of kernfs is that number.
bool cgroup_populated(const std::filesystem::path& root, std::uint64_t id) {
  constexpr int kKernfs = 0xfe;  // FILEID_KERNFS
  const Fd mount(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!mount) return true;
  alignas(file_handle) std::array<std::byte, sizeof(file_handle) + sizeof(id)> bytes{};
  auto* const handle = reinterpret_cast<file_handle*>(bytes.data());
  handle->handle_bytes = sizeof(id);
  handle->handle_type = kKernfs;
  std::memcpy(bytes.data() + sizeof(file_handle), &id, sizeof(id));
  const Fd folder(::open_by_handle_at(mount.get(), handle, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder) return errno != ESTALE && errno != ENOENT;
  const Fd events(::openat(folder.get(), "cgroup.events", O_RDONLY | O_CLOEXEC));
  if (!events) return errno != ENODEV && errno != ENOENT;
  std::array<char, 256> text{};
  const auto size = ::read(events.get(), text.data(), text.size());
  if (size < 0) return errno != ENODEV;
  return !std::string_view(text.data(), static_cast<std::size_t>(size)).contains("populated 0");
}

Result<std::filesystem::path> cgroup_folder(std::string_view mountinfo, std::string_view path) {
  std::vector<std::string> covered;
  for (const Mount& mount : parse_mountinfo(mountinfo) | std::views::reverse) {
    if (std::ranges::contains(covered, mount.point)) continue;
    covered.push_back(mount.point);
    if (mount.type != "cgroup2") continue;
    if (const auto rest = below(path, mount.root))
      return rest->empty() ? std::filesystem::path(mount.point) : std::filesystem::path(mount.point) / *rest;
  }
  return failure(culvert::format(
      "looking for cgroup {}: no cgroup2 in /proc/self/mountinfo shows it (mount the node's /sys/fs/cgroup)", path));
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
