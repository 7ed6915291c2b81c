#include "cli/local/root.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "cli/local/render.h"
#include "common/base/fd.h"
#include "common/base/file.h"
#include "common/base/format.h"
#include "common/base/mounts.h"

namespace culvert::local {
namespace {

namespace fs = std::filesystem;

bool is_below(std::string_view path, std::string_view folder) {
  return path == folder || (path.starts_with(folder) && path[folder.size()] == '/');
}

// What is mounted besides the root itself and besides what every root gets afresh: checkouts, homes, disks.
std::vector<std::string> other_mounts() {
  static constexpr std::array kOwn = {"/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp"};
  std::vector<std::string> found;
  for (const auto& mount : parse_mountinfo(read_file("/proc/self/mountinfo").value_or(""))) {
    const std::string& path = mount.point;
    if (path == "/" || std::ranges::any_of(kOwn, [&](const char* own) { return is_below(path, own); })) continue;
    if (!std::ranges::contains(found, path)) found.push_back(path);
  }
  return found;
}

Status bind_at(const std::string& from, const std::string& to, bool read_only, bool recursive = false) {
  if (auto done = mount_at(from.c_str(), to, nullptr, MS_BIND | (recursive ? MS_REC : 0)); !done || !read_only) return done;
  return mount_at(nullptr, to, nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY);
}

Status make_target(const std::string& from, const std::string& to) {
  if (!fs::is_regular_file(from)) return make_folder(to);
  if (auto made = make_folder(fs::path(to).parent_path()); !made) return made;
  const Fd fd(open(to.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  if (!fd) return failure_errno("making " + to);
  return {};
}

// Not through a link that leads elsewhere: what stands there is replaced.
Status put(const std::string& path, std::string_view text) {
  unlink(path.c_str());
  return write_file(path, text);
}

Status fill(const Root& root, const std::string& top) {
  Status done;
  const auto then = [&](auto&& step) {
    if (done) done = step();
  };
  then([&] { return mount_at("proc", top + "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC); });
  then([&] { return mount_at("sysfs", top + "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC); });
  then([&] {
    return mount_at("cgroup2", top + "/sys/fs/cgroup", "cgroup2",
                    MS_NOSUID | MS_NODEV | MS_NOEXEC | (root.node ? 0UL : +MS_RDONLY));
  });
  if (root.node) then([&] { return mount_at("bpf", top + "/sys/fs/bpf", "bpf"); });
  then([&] { return bind_at("/dev", top + "/dev", false, true); });
  then([&] { return mount_at("shm", top + "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777"); });
  for (const auto& path : other_mounts()) {
    if (fs::exists(top + path)) then([&] { return bind_at(path, top + path, true); });
  }
  if (root.node) {
    then([&] { return bind_at("/run", top + "/run", false, true); });
    for (const char* own : {"/run/ztunnel", "/run/culvert"})
      then([&] { return mount_at("culvert-run", top + own, "tmpfs", 0, "mode=755"); });
  }
  for (const auto& mount : root.mounts) {
    then([&] { return make_target(mount.from, top + mount.to); });
    then([&] { return bind_at(mount.from, top + mount.to, mount.read_only); });
  }
  then([&] { return put(top + "/etc/hosts", render_hosts(root.hostname, root.addresses, root.node)); });
  then([&] { return put(top + "/etc/resolv.conf", render_resolv_conf(root.name_space)); });
  then([&] { return put(top + "/etc/hostname", root.hostname + "\n"); });
  return done;
}

}  // namespace

Status make_folder(const std::string& path, unsigned mode) {
  std::error_code error;
  if (fs::is_directory(path, error)) return {};
  fs::create_directories(path, error);
  if (error) return failure("making " + path + ": " + error.message());
  chmod(path.c_str(), mode);
  return {};
}

Status mount_at(const char* what, const std::string& where, const char* type, unsigned long flags, const char* options) {
  if (mount(what, where.c_str(), type, flags, options) == 0) return {};
  return failure_errno(culvert::format("mounting {} on {}", type != nullptr ? type : what != nullptr ? what : "anew", where));
}

Status enter_root(const Root& root) {
  const std::string top = root.folder + "/root";
  for (const char* below : {"/upper", "/work", "/root"}) {
    if (auto made = make_folder(root.folder + below); !made) return made;
  }
  if (auto done = mount_at(nullptr, "/", nullptr, MS_REC | (root.node ? MS_SLAVE : MS_PRIVATE)); !done) return done;
  const std::string options = culvert::format("lowerdir=/,upperdir={0}/upper,workdir={0}/work", root.folder);
  if (auto done = mount_at("overlay", top, "overlay", 0, options.c_str()); !done) {
    return std::unexpected(
        Error(done.error()).during("an overlay over this machine's files (is the root itself an overlay over an overlay?)"));
  }
  if (auto done = fill(root, top); !done) return done;
  if (chdir(top.c_str()) != 0 || syscall(SYS_pivot_root, ".", ".") != 0)
    return failure_errno("changing the root (in a chroot? enter it with pivot_root)");
  if (umount2(".", MNT_DETACH) != 0 || chdir("/") != 0) return failure_errno("leaving the old root");
  return {};
}

}  // namespace culvert::local
