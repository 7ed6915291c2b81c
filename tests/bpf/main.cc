// Runs the BPF tests, or says why this machine cannot.

#include <gmock/gmock.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cstdio>

#include "bpf/loader/cgroup.h"

namespace {

// Null when the tests can run.
const char* obstacle() {
  struct statfs bpffs{};
  if (::geteuid() != 0) return "root is needed";
  if (::statfs("/sys/fs/bpf", &bpffs) != 0 || static_cast<unsigned long>(bpffs.f_type) != BPF_FS_MAGIC)
    return "no bpffs at /sys/fs/bpf";
  if (::access("/sys/kernel/btf/vmlinux", R_OK) != 0) return "this kernel has no BTF";
  if (!culvert::bpf::cgroup2_root()) return "cgroup2 is not mounted";
  return nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleMock(&argc, argv);
  if (const char* reason = obstacle()) {
    std::printf("skipped: %s\n", reason);
    return 77;
  }
  return RUN_ALL_TESTS();
}
