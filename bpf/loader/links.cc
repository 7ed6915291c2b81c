#include "bpf/loader/links.h"

#include <bpf/bpf.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>

#include "common/base/fd.h"
#include "common/base/format.h"

namespace culvert::bpf {
namespace {

Result<Fd> attached(const std::filesystem::path& pin, const std::function<int()>& attach) {
  Fd link(attach());
  if (!link) {
    const char* hint = errno == EPERM
                           ? " (is another program attached there that allows no second one? bpftool cgroup tree; bpftool net)"
                       : errno == E2BIG ? " (too many programs are attached there)"
                                        : "";
    return failure(culvert::format("attaching {}: {}{}", pin.filename().string(), errno_text(errno), hint));
  }
  return link;
}

Status pin_link(const Fd& link, const std::filesystem::path& pin) {
  if (bpf_obj_pin(link.get(), pin.c_str()) != 0) return failure_errno(culvert::format("pinning {}", pin.string()));
  return {};
}

Status make_link(const std::filesystem::path& pin, const std::function<int()>& attach) {
  const auto link = attached(pin, attach);
  if (!link) return std::unexpected(link.error());
  return pin_link(*link, pin);
}

// The new one is attached before the old one is not any more.
Status replace_link(const Fd& old, const std::filesystem::path& pin, const std::function<int()>& attach) {
  const auto beside = pin.string() + "-new";
  ::unlink(beside.c_str());
  const auto link = attached(pin, attach);
  if (!link) return std::unexpected(link.error());
  if (auto done = pin_link(*link, beside); !done) return done;
  if (::rename(beside.c_str(), pin.c_str()) != 0) return failure_errno(culvert::format("renaming {}", beside));
  bpf_link_detach(old.get());
  return {};
}

Result<bpf_link_info> info_of(const Fd& link, const std::filesystem::path& pin) {
  bpf_link_info info{};
  __u32 size = sizeof(info);
  if (bpf_obj_get_info_by_fd(link.get(), &info, &size) != 0)
    return failure_errno(culvert::format("looking at link {}", pin.string()));
  return info;
}

}  // namespace

Status put_link(const std::filesystem::path& pin, int program, std::uint64_t cgroup, const std::function<int()>& attach) {
  const Fd link(bpf_obj_get(pin.c_str()));
  if (!link) {
    if (errno != ENOENT) return failure_errno(culvert::format("opening pinned link {}", pin.string()));
    return make_link(pin, attach);
  }
  if (cgroup != 0) {
    const auto info = info_of(link, pin);
    if (!info) return std::unexpected(info.error());
    if (info->cgroup.cgroup_id != cgroup) return replace_link(link, pin, attach);
  }
  if (bpf_link_update(link.get(), program, nullptr) == 0) return {};
  if (errno != ENOLINK) return failure_errno(culvert::format("swapping the program of {}", pin.string()));
  if (::unlink(pin.c_str()) != 0) return failure_errno(culvert::format("removing {}", pin.string()));
  return make_link(pin, attach);
}

Status swap_link(const std::filesystem::path& pin, int program) {
  const Fd link(bpf_obj_get(pin.c_str()));
  if (!link && errno == ENOENT) return {};
  if (!link) return failure_errno(culvert::format("opening pinned link {}", pin.string()));
  if (bpf_link_update(link.get(), program, nullptr) == 0 || errno == ENOLINK) return {};
  return failure_errno(culvert::format("swapping the program of {}", pin.string()));
}

Result<std::uint64_t> netns_of_link(const std::filesystem::path& pin) {
  const Fd link(bpf_obj_get(pin.c_str()));
  if (!link && errno == ENOENT) return 0;
  if (!link) return failure_errno(culvert::format("opening pinned link {}", pin.string()));
  const auto info = info_of(link, pin);
  if (!info) return std::unexpected(info.error());
  return info->netns.netns_ino;
}

Status drop_link(const std::filesystem::path& pin) {
  const Fd link(bpf_obj_get(pin.c_str()));
  if (!link && errno == ENOENT) return {};
  // Detached by name and not by closing: closing takes effect some time later. A link whose namespace is gone is detached already.
  if (link) bpf_link_detach(link.get());
  if (::unlink(pin.c_str()) != 0 && errno != ENOENT) return failure_errno(culvert::format("removing {}", pin.string()));
  return {};
}

Status make_pin_folder(const std::filesystem::path& folder) {
  if (!folder.is_absolute()) return failure(culvert::format("--pin-dir {}: not an absolute path", folder.string()));
  struct stat info{};
  if (::stat(folder.c_str(), &info) != 0) {
    if (errno != ENOENT) return failure_errno(culvert::format("looking at {}", folder.string()));
    // The parent first: it says whether this is a bpffs before anything is made on another kind of file system.
    if (const auto parent = make_pin_folder(folder.parent_path()); !parent) return parent;
    if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST)
      return failure_errno(culvert::format("making {}", folder.string()));
  }
  struct statfs system{};
  if (::statfs(folder.c_str(), &system) != 0) return failure_errno(culvert::format("looking at {}", folder.string()));
  if (static_cast<unsigned long>(system.f_type) != BPF_FS_MAGIC)
    return failure(culvert::format("--pin-dir: {} is not on a bpffs (mount -t bpf bpf /sys/fs/bpf)", folder.string()));
  return {};
}

}  // namespace culvert::bpf
