#include "cli/local/spawn.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "common/base/format.h"

namespace culvert::local {
namespace {

struct Pipe {
  Fd read, write;
};

Result<Pipe> make_pipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return failure_errno("making a pipe");
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const auto count = ::write(fd, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(count));
  }
}

std::string read_all(int fd) {
  std::string text;
  std::array<char, 4096> buffer;
  for (;;) {
    const auto count = ::read(fd, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(count));
  }
}

// What every child undoes: the signal set-up of its parent.
void reset_signals() {
  for (int number = 1; number < 32; ++number) ::signal(number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

bool put_at(int fd, int number) {
  if (fd < 0) {
    const int null = ::open("/dev/null", O_RDWR);
    return null >= 0 && dup2(null, number) >= 0;
  }
  return dup2(fd, number) >= 0;
}

// Only in a freshly forked child: ends in the program, or tells `report` the errno.
[[noreturn]] void become(const Place& place, const Command& command, int report) {
  const auto fail = [&](int number) {
    write_all(report, {reinterpret_cast<const char*>(&number), sizeof number});
    _exit(127);
  };
  reset_signals();
  if (command.dies_with_us) prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (command.new_session) setsid();
  // Copied above 9 first, so that no dup2 overwrites a descriptor that is still needed.
  const auto high = [](int fd) { return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 10); };
  const std::array from = {high(command.input), high(command.output), high(command.error)};
  if (!enter(place)) fail(errno);
  for (int number = 0; number < 3; ++number) {
    if (!put_at(from[static_cast<std::size_t>(number)], number)) fail(errno);
  }
  if (command.privilege == Privilege::kContainer && !limit_capabilities()) fail(errno);
  if (chdir(command.directory.c_str()) != 0) fail(errno);
  std::vector<std::string> pairs;
  for (const auto& [name, value] : command.env) pairs.push_back(name + "=" + value);
  std::vector<char*> argv, env;
  for (const auto& word : command.argv) argv.push_back(const_cast<char*>(word.c_str()));
  for (auto& pair : pairs) env.push_back(pair.data());
  argv.push_back(nullptr);
  env.push_back(nullptr);
  const auto path = command.env.find("PATH");
  setenv("PATH", path == command.env.end() ? std::string(kPath).c_str() : path->second.c_str(), 1);
  execvpe(argv[0], argv.data(), env.data());
  fail(errno);
  _exit(127);
}

}  // namespace

std::string shell_words(const std::vector<std::string>& words) {
  std::string text;
  for (const auto& word : words) text.append(text.empty() ? "" : " ").append(word);
  return text;
}

Status join_cgroup(int folder) {
  const Fd procs(openat(folder, "cgroup.procs", O_WRONLY | O_CLOEXEC));
  if (!procs || ::write(procs.get(), "0", 1) != 1) return failure_errno("entering the cgroup");
  return {};
}

Status enter(const Place& place) {
  if (place.cgroup) {
    if (auto joined = join_cgroup(place.cgroup.get()); !joined) return joined;
  }
  const std::pair<const Fd*, int> spaces[] = {{&place.cgroup_ns, CLONE_NEWCGROUP},
                                              {&place.ipc, CLONE_NEWIPC},
                                              {&place.uts, CLONE_NEWUTS},
                                              {&place.net, CLONE_NEWNET},
                                              {&place.mount, CLONE_NEWNS}};
  for (const auto& [fd, kind] : spaces) {
    if (*fd && setns(fd->get(), kind) != 0) return failure_errno("entering a namespace");
  }
  return {};
}

Status limit_capabilities() {
  constexpr std::array kKept = {CAP_CHOWN,   CAP_DAC_OVERRIDE, CAP_FSETID,      CAP_FOWNER,          CAP_MKNOD,
                                CAP_NET_RAW, CAP_SETGID,       CAP_SETUID,      CAP_SETFCAP,         CAP_SETPCAP,
                                CAP_KILL,    CAP_SYS_CHROOT,   CAP_AUDIT_WRITE, CAP_NET_BIND_SERVICE};
  std::array<__user_cap_data_struct, 2> kept{};
  for (const int capability : kKept) kept[static_cast<unsigned>(capability) / 32].permitted |= 1u << (capability % 32);
  for (int capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; ++capability) {
    const bool keep = (kept[static_cast<unsigned>(capability) / 32].permitted >> (capability % 32)) & 1;
    if (!keep && prctl(PR_CAPBSET_DROP, capability) != 0) return failure_errno("dropping a capability");
  }
  return {};  // the rest of the sets follow at exec, bounded by this one
}

Result<pid_t> spawn(const Place& place, const Command& command, int* errno_out) {
  auto report = make_pipe();
  if (!report) return std::unexpected(report.error());
  const pid_t child = fork();
  if (child < 0) return failure_errno("forking");
  if (child == 0) become(place, command, report->write.get());
  report->write.reset();
  const std::string told = read_all(report->read.get());
  if (told.size() != sizeof(int)) return child;
  waitpid(child, nullptr, 0);
  int number = 0;
  std::memcpy(&number, told.data(), sizeof number);
  if (errno_out != nullptr) *errno_out = number;
  return failure(culvert::format("starting {}: {}", command.argv[0], errno_text(number)));
}

Result<std::string> run(const Place& place, std::vector<std::string> argv, std::string_view input) {
  auto in = make_pipe(), out = make_pipe();
  if (!in || !out) return std::unexpected((in ? out : in).error());
  Command command{.argv = std::move(argv), .env = {{"PATH", std::string(kPath)}, {"LC_ALL", "C"}}};
  command.input = in->read.get();
  command.output = command.error = out->write.get();
  auto child = spawn(place, command);
  if (!child) return std::unexpected(child.error());
  in->read.reset();
  out->write.reset();
  write_all(in->write.get(), input);  // these programs read all of their input before they say anything long
  in->write.reset();
  std::string said = read_all(out->read.get());
  int status = 0;
  while (waitpid(*child, &status, 0) < 0 && errno == EINTR) {}
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return said;
  while (!said.empty() && said.back() == '\n') said.pop_back();
  return failure(culvert::format("{}: {}", shell_words(command.argv), said.empty() ? "failed" : said));
}

Result<Place> make_place(int kinds, const std::function<Status()>& first, const std::function<Status()>& inside) {
  auto told = make_pipe(), hold = make_pipe();
  if (!told || !hold) return std::unexpected((told ? hold : told).error());
  const pid_t child = fork();
  if (child < 0) return failure_errno("forking");
  if (child == 0) {
    hold->write.reset();
    Status done = first ? first() : Status();
    if (done && unshare(kinds) != 0) done = failure_errno("making namespaces");
    if (done && inside) done = inside();
    write_all(told->write.get(), done ? "ok" : done.error().text);
    told->write.reset();
    read_all(hold->read.get());
    _exit(0);
  }
  told->write.reset();
  hold->read.reset();
  const std::string said = read_all(told->read.get());
  Place place;
  Status opened = said == "ok" ? Status() : failure(said.empty() ? "making namespaces: the child died" : said);
  const std::tuple<Fd*, int, const char*> spaces[] = {{&place.net, CLONE_NEWNET, "net"},
                                                      {&place.mount, CLONE_NEWNS, "mnt"},
                                                      {&place.uts, CLONE_NEWUTS, "uts"},
                                                      {&place.ipc, CLONE_NEWIPC, "ipc"},
                                                      {&place.cgroup_ns, CLONE_NEWCGROUP, "cgroup"}};
  for (const auto& [fd, kind, name] : spaces) {
    if (!opened || (kinds & kind) == 0) continue;
    fd->reset(::open(culvert::format("/proc/{}/ns/{}", child, name).c_str(), O_RDONLY | O_CLOEXEC));
    if (!*fd) opened = failure_errno("opening a namespace");
  }
  hold->write.reset();
  waitpid(child, nullptr, 0);
  if (!opened) return std::unexpected(opened.error());
  return place;
}

}  // namespace culvert::local
