#include "bpf/loader/cgroup.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <format>
#include <fstream>
#include <iterator>
#include <optional>
#include <ranges>
#include <string>
#include <vector>

#include "common/base/fd.h"

namespace culvert::bpf {
namespace {

// mountinfo writes space, tab, newline and backslash of a path as \ooo.
std::string unescape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); i++) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::vector<std::string_view> words(std::string_view line) {
  std::vector<std::string_view> out;
  for (auto word : line | std::views::split(' ')) out.emplace_back(word.begin(), word.end());
  return out;
}

struct Mount {
  std::string_view root;  // which part of the hierarchy it shows
  std::string point;
};

// "38 31 0:31 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw"
std::optional<Mount> cgroup2_mount(std::string_view line) {
  const auto fields = words(line);
  const auto dash = std::ranges::find(fields, "-");
  if (fields.size() < 6 || std::distance(dash, fields.end()) < 2 || dash[1] != "cgroup2") return std::nullopt;
  return Mount{fields[3], unescape(fields[4])};
}

Result<std::string> read_text(const std::string& path) {
  std::ifstream file(path);
  if (!file) return failure_errno("opening " + path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

}  // namespace

Result<std::filesystem::path> cgroup2_root(std::string_view mountinfo) {
  std::optional<Mount> best;
  for (auto part : mountinfo | std::views::split('\n')) {
    auto mount = cgroup2_mount(std::string_view(part.begin(), part.end()));
    if (mount && (!best || mount->root.size() < best->root.size())) best = std::move(mount);
  }
  if (!best)
    return failure("looking for cgroup2 in /proc/self/mountinfo: it is not mounted (mount -t cgroup2 none /sys/fs/cgroup)");
  return best->point;
}

Result<std::filesystem::path> cgroup2_root() {
  const auto mountinfo = read_text("/proc/self/mountinfo");
  if (!mountinfo) return std::unexpected(mountinfo.error());
  return cgroup2_root(*mountinfo);
}

Result<std::uint64_t> cgroup_id(const std::filesystem::path& folder) {
  struct stat info{};
  if (::stat(folder.c_str(), &info) != 0) return failure_errno(std::format("reading the id of cgroup {}", folder.string()));
  if (!S_ISDIR(info.st_mode)) return failure(std::format("reading the id of cgroup {}: it is not a folder", folder.string()));
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

Result<std::filesystem::path> cgroup_of(pid_t process, const std::filesystem::path& root) {
  const auto path = std::format("/proc/{}/cgroup", process);
  const auto text = read_text(path);
  if (!text) return std::unexpected(text.error());
  for (auto part : *text | std::views::split('\n')) {
    const std::string_view line(part.begin(), part.end());
    if (!line.starts_with("0::/")) continue;
    auto folder = (root / line.substr(4)).lexically_normal();
    if (!folder.has_filename()) folder = folder.parent_path();  // the root itself, without its slash
    return folder;
  }
  return failure(std::format("reading {}: no cgroup2 in it", path));
}

}  // namespace culvert::bpf
