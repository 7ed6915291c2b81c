#include "common/sandbox/sandbox.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace culvert::sandbox {
namespace {

constexpr long kNone =
    -1;  // a descriptor, an address or flags that no call takes: one that is let through fails with something else than EPERM

const std::map<std::string, Needs> kPrograms = {{"ztunnel", kZtunnel}, {"culvertd", kCulvertd}, {"culvert-node", kNode}};
const Needs kWithPlugin{.other_programs = true};

#define CALL(name) {#name, SYS_##name}
const std::map<std::string, long> kForbiddenToAll = {
    CALL(mount),
    CALL(umount2),
    CALL(mount_setattr),
    CALL(move_mount),
    CALL(open_tree),
    CALL(fsopen),
    CALL(fsconfig),
    CALL(fsmount),
    CALL(fspick),
    CALL(pivot_root),
    CALL(chroot),
    CALL(mknodat),
    CALL(name_to_handle_at),
    CALL(open_by_handle_at),
    CALL(fanotify_init),
    CALL(unshare),
    CALL(ptrace),
    CALL(process_vm_readv),
    CALL(process_vm_writev),
    CALL(process_madvise),
    CALL(process_mrelease),
    CALL(pidfd_getfd),
    CALL(kcmp),
    CALL(move_pages),
    CALL(migrate_pages),
    CALL(init_module),
    CALL(finit_module),
    CALL(delete_module),
    CALL(kexec_load),
    CALL(kexec_file_load),
    CALL(perf_event_open),
    CALL(syslog),
    CALL(keyctl),
    CALL(add_key),
    CALL(request_key),
    CALL(userfaultfd),
    CALL(io_uring_setup),
    CALL(io_uring_enter),
    CALL(io_uring_register),
    CALL(io_setup),
    CALL(vmsplice),
    CALL(remap_file_pages),
    CALL(personality),
    CALL(shmget),
    CALL(semget),
    CALL(msgget),
    CALL(mq_open),
    CALL(reboot),
    CALL(swapon),
    CALL(swapoff),
    CALL(settimeofday),
    CALL(clock_settime),
    CALL(clock_adjtime),
    CALL(adjtimex),
    CALL(sethostname),
    CALL(setdomainname),
    CALL(acct),
    CALL(quotactl),
    CALL(quotactl_fd),
    CALL(vhangup),
#ifdef __x86_64__
    CALL(mknod),
    CALL(iopl),
    CALL(ioperm),
    CALL(modify_ldt),
    CALL(uselib),
#endif
};
const std::map<std::string, long> kForbiddenWithoutPlugin = {
    CALL(execve),
    CALL(execveat),
#ifdef __x86_64__
    CALL(fork),
    CALL(vfork),
#endif
};
#undef CALL

// What `act` returns in a child that is confined so; 255 when it could not be confined, minus the signal when it was ended by one.
int confined(const Needs& needs, const std::function<int()>& act) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(enforce(filter_of(needs)) ? act() : 255);
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

// The errno of a call in a child that is confined so; 0 when it succeeds.
int answer(const Needs& needs, long call, long first = kNone, long second = kNone, long third = kNone) {
  return confined(needs, [=] { return ::syscall(call, first, second, third, kNone, kNone, kNone) < 0 ? errno : 0; });
}

TEST(Sandbox, RefusesWhatNoProgramMakes) {
  for (const auto& [program, needs] : kPrograms) {
    for (const auto& [name, call] : kForbiddenToAll) EXPECT_EQ(answer(needs, call), EPERM) << program << ": " << name;
  }
}

TEST(Sandbox, NoProgramStartsAnother) {
  for (const auto& [program, needs] : kPrograms) {
    for (const auto& [name, call] : kForbiddenWithoutPlugin) EXPECT_EQ(answer(needs, call), EPERM) << program << ": " << name;
    EXPECT_EQ(answer(needs, SYS_clone, SIGCHLD, 0), EPERM) << program;
  }
}

TEST(Sandbox, ACredentialPluginIsStartedAndConfinedAsWell) {
  const auto start = [] {
    const int code = std::system("unshare --net true 2>/dev/null");  // a shell, and a program of it
    return WIFEXITED(code) ? WEXITSTATUS(code) : 254;
  };

  EXPECT_EQ(confined(kWithPlugin, [] { return std::system("true"); }), 0);
  EXPECT_EQ(confined(kWithPlugin, start), 1);
  EXPECT_EQ(answer(kWithPlugin, SYS_clone, CLONE_NEWNET | SIGCHLD, 0), EPERM);
}

TEST(Sandbox, EntersNetworkNamespacesAloneAndOnlyWhereThatIsTheJob) {
  for (const auto& [program, needs] : kPrograms) {
    EXPECT_EQ(answer(needs, SYS_setns, kNone, CLONE_NEWNET), program == "culvertd" ? EPERM : EBADF) << program;
    for (const long kind : {0L, long{CLONE_NEWNS}, long{CLONE_NEWUSER}, long{CLONE_NEWNET | CLONE_NEWNS}})
      EXPECT_EQ(answer(needs, SYS_setns, kNone, kind), EPERM) << program << ": " << kind;
  }
}

TEST(Sandbox, OnlyTheAgentLoadsKernelPrograms) {
  for (const auto& [program, needs] : kPrograms) EXPECT_EQ(answer(needs, SYS_bpf) == EPERM, program != "culvert-node") << program;
}

TEST(Sandbox, ANewerCallIsUnknownSoThatLibrariesFallBack) {
  for (const auto& [program, needs] : kPrograms) {
    EXPECT_EQ(answer(needs, SYS_clone3), ENOSYS) << program;
    for (const long call : {long{SYS_mseal} + 1, 1000L, 0x40000000L + SYS_read})
      EXPECT_EQ(answer(needs, call), ENOSYS) << program;
    EXPECT_EQ(answer(needs, SYS_mseal), EINVAL) << program;
  }
}

TEST(Sandbox, SocketsAreOfFilesIpAndNetlink) {
  for (const auto& [program, needs] : kPrograms) {
    for (const long family : {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK})
      EXPECT_EQ(answer(needs, SYS_socket, family, SOCK_DGRAM | SOCK_CLOEXEC, 0), 0) << program << ": " << family;
    for (const long family : {AF_PACKET, AF_ALG, AF_VSOCK, AF_XDP, AF_TIPC, 200})
      EXPECT_EQ(answer(needs, SYS_socket, family, SOCK_DGRAM, 0), EAFNOSUPPORT) << program << ": " << family;
  }
}

TEST(Sandbox, ThreadsFilesAndEventsGoOn) {
  const auto work = [] {
    std::atomic<int> done = 0;
    std::thread([&] { done = 1; }).join();
    const long wanted[] = {::syscall(SYS_openat, AT_FDCWD, "/proc/self/status", O_RDONLY), ::syscall(SYS_epoll_create1, 0),
                           ::syscall(SYS_eventfd2, 0, 0), ::syscall(SYS_pidfd_open, ::getpid(), 0),
                           ::syscall(SYS_memfd_create, "m", 0)};
    for (const long each : wanted) done += each >= 0 ? 1 : 0;
    return done.load();
  };

  for (const auto& [program, needs] : kPrograms) EXPECT_EQ(confined(needs, work), 6) << program;
}

#ifdef __x86_64__
TEST(Sandbox, ACallOfAnotherArchitectureEndsTheProcess) {
  const auto call = [] {
    long answer = 20;  // getpid
    asm volatile("int $0x80" : "+a"(answer) : : "memory", "r8", "r9", "r10", "r11");
    return 1;
  };

  EXPECT_EQ(confined(kZtunnel, call), -SIGSYS);
}
#endif

TEST(Sandbox, HoldsForThreadsThatWereThereBefore) {
  const pid_t child = ::fork();
  if (child == 0) {
    std::atomic<bool> now = false;
    int seen = 0;
    std::thread before([&] {
      now.wait(false);
      seen = ::syscall(SYS_unshare, kNone) < 0 ? errno : 0;
    });
    if (!enforce(filter_of(kZtunnel))) ::_exit(255);
    now = true;
    now.notify_one();
    before.join();
    ::_exit(seen);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), EPERM);
}

// As a kernel without filters answers.
TEST(Sandbox, SaysThatTheKernelHasNoFilters) {
  const std::vector<sock_filter> without = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_seccomp, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  const pid_t child = ::fork();
  if (child == 0) {
    if (!enforce(without)) ::_exit(255);
    const Status second = enforce(filter_of(kZtunnel));
    ::_exit(!second && second.error().text.contains("CONFIG_SECCOMP_FILTER") && ::syscall(SYS_unshare, kNone) < 0 &&
            errno == EINVAL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 1);
}

}  // namespace
}  // namespace culvert::sandbox
