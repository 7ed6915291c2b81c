#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <utility>

#include "common/sandbox/sandbox.h"

namespace culvert::sandbox {
namespace {

#if defined(__x86_64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
#error "which AUDIT_ARCH_ is this?"
#endif
static_assert(std::endian::native == std::endian::little, "the lower half of an argument comes first");

// The newest call that was looked at when this list was made. Whoever raises it looks at those between.
constexpr std::uint32_t kNewest = SYS_mseal;

constexpr std::uint32_t kAllowed = SECCOMP_RET_ALLOW;
constexpr std::uint32_t kForbidden = SECCOMP_RET_ERRNO | EPERM;
constexpr std::uint32_t kUnknown = SECCOMP_RET_ERRNO | ENOSYS;
constexpr std::uint32_t kNoFamily = SECCOMP_RET_ERRNO | EAFNOSUPPORT;

constexpr std::uint32_t kNamespaces =
    CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;

constexpr std::uint32_t kNobodyMakes[] = {
    // the tree of files, and ways around it
    SYS_mount,
    SYS_umount2,
    SYS_mount_setattr,
    SYS_move_mount,
    SYS_open_tree,
    SYS_fsopen,
    SYS_fsconfig,
    SYS_fsmount,
    SYS_fspick,
    SYS_pivot_root,
    SYS_chroot,
    SYS_mknodat,
    SYS_name_to_handle_at,
    SYS_open_by_handle_at,
    SYS_fanotify_init,
    // namespaces of our own
    SYS_unshare,
    // other processes
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_process_madvise,
    SYS_process_mrelease,
    SYS_pidfd_getfd,
    SYS_kcmp,
    SYS_move_pages,
    SYS_migrate_pages,
    // the kernel itself
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_kexec_load,
    SYS_kexec_file_load,
    SYS_perf_event_open,
    SYS_syslog,
    // keys, and parts of the kernel that are known for their faults
    SYS_keyctl,
    SYS_add_key,
    SYS_request_key,
    SYS_userfaultfd,
    SYS_io_uring_setup,
    SYS_io_uring_enter,
    SYS_io_uring_register,
    SYS_io_setup,
    SYS_io_submit,
    SYS_io_destroy,
    SYS_io_cancel,
    SYS_vmsplice,
    SYS_remap_file_pages,
    SYS_personality,
    // System V's and POSIX' queues
    SYS_shmget,
    SYS_shmat,
    SYS_shmctl,
    SYS_shmdt,
    SYS_semget,
    SYS_semop,
    SYS_semtimedop,
    SYS_semctl,
    SYS_msgget,
    SYS_msgsnd,
    SYS_msgrcv,
    SYS_msgctl,
    SYS_mq_open,
    SYS_mq_unlink,
    SYS_mq_timedsend,
    SYS_mq_timedreceive,
    SYS_mq_notify,
    SYS_mq_getsetattr,
    // the machine
    SYS_reboot,
    SYS_swapon,
    SYS_swapoff,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_clock_adjtime,
    SYS_adjtimex,
    SYS_sethostname,
    SYS_setdomainname,
    SYS_acct,
    SYS_quotactl,
    SYS_quotactl_fd,
    SYS_vhangup,
#ifdef __x86_64__
    SYS_mknod,
    SYS_iopl,
    SYS_ioperm,
    SYS_modify_ldt,
    SYS_uselib,
#endif
};

// Written from the top to the bottom: what is decided first holds.
class Writer {
 public:
  void load(std::size_t offset) { add(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset))); }
  void answer(std::uint32_t verdict) { add(BPF_STMT(BPF_RET | BPF_K, verdict)); }

  // `test` is BPF_JEQ, BPF_JGT or BPF_JSET.
  void when(std::uint16_t test, std::uint32_t value, std::uint32_t verdict) {
    add(BPF_JUMP(static_cast<std::uint16_t>(BPF_JMP | test | BPF_K), value, 0, 1));
    answer(verdict);
  }

  void unless(std::uint16_t test, std::uint32_t value, std::uint32_t verdict) {
    add(BPF_JUMP(static_cast<std::uint16_t>(BPF_JMP | test | BPF_K), value, 1, 0));
    answer(verdict);
  }

  struct Case {
    std::uint16_t test = BPF_JEQ;
    std::uint32_t value = 0, verdict = kAllowed;
  };
  // A call that an argument of it decides.
  void by_argument(std::uint32_t call, unsigned index, std::initializer_list<Case> cases, std::uint32_t otherwise) {
    const auto length = static_cast<std::uint8_t>(2 * cases.size() + 2);
    add(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, length));
    load(offsetof(seccomp_data, args) + index * sizeof(std::uint64_t));
    for (const auto& [test, value, verdict] : cases) when(test, value, verdict);
    answer(otherwise);
  }

  std::vector<sock_filter> take() { return std::move(out_); }

 private:
  void add(const sock_filter& instruction) { out_.push_back(instruction); }
  std::vector<sock_filter> out_;
};

void write_programs(Writer& out, bool allowed) {
  if (!allowed) {
    for (const std::uint32_t call : {SYS_execve, SYS_execveat}) out.when(BPF_JEQ, call, kForbidden);
#ifdef __x86_64__
    for (const std::uint32_t call : {SYS_fork, SYS_vfork}) out.when(BPF_JEQ, call, kForbidden);
#endif
  }
  out.when(BPF_JEQ, SYS_clone3, kUnknown);  // what it asks for lies in memory, where a filter does not look
  out.by_argument(SYS_clone, 0, {{BPF_JSET, kNamespaces, kForbidden}, {BPF_JSET, CLONE_THREAD, kAllowed}},
                  allowed ? kAllowed : kForbidden);
}

}  // namespace

std::vector<sock_filter> filter_of(const Needs& needs) {
  Writer out;
  out.load(offsetof(seccomp_data, arch));
  out.unless(BPF_JEQ, kArchitecture, SECCOMP_RET_KILL_PROCESS);
  out.load(offsetof(seccomp_data, nr));
  out.when(BPF_JGT, kNewest, kUnknown);  // x32's as well, whose numbers are above all others
  for (const std::uint32_t call : kNobodyMakes) out.when(BPF_JEQ, call, kForbidden);
  if (!needs.kernel_programs) out.when(BPF_JEQ, SYS_bpf, kForbidden);
  write_programs(out, needs.other_programs);
  out.by_argument(SYS_setns, 1, {{BPF_JEQ, CLONE_NEWNET, needs.network_namespaces ? kAllowed : kForbidden}}, kForbidden);
  out.by_argument(SYS_socket, 0, {{BPF_JEQ, AF_UNIX}, {BPF_JEQ, AF_INET}, {BPF_JEQ, AF_INET6}, {BPF_JEQ, AF_NETLINK}}, kNoFamily);
  out.answer(kAllowed);
  return out.take();
}

}  // namespace culvert::sandbox
