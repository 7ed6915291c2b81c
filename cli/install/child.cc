#include "cli/install/child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "common/base/fd.h"
#include "common/base/format.h"

namespace culvert::cli::install {
namespace {

constexpr int kSecond = 1000;

// What the operator's interrupt does: ends the child, which shares our terminal, and lets us report its end.
class Ignored {
 public:
  Ignored() : interrupt_(::signal(SIGINT, SIG_IGN)), quit_(::signal(SIGQUIT, SIG_IGN)) {}
  ~Ignored() {
    ::signal(SIGINT, interrupt_);
    ::signal(SIGQUIT, quit_);
  }
  Ignored(const Ignored&) = delete;

 private:
  void (*interrupt_)(int);
  void (*quit_)(int);
};

// Files of a child; -1 means: ours.
struct Ends {
  bool input = true;
  int output = -1, error = -1;
};

Result<pid_t> start(const std::vector<std::string>& words, const Ends& ends) {
  std::vector<std::string> copy = words;
  std::vector<char*> argv;
  for (std::string& word : copy) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawnattr_t how;
  posix_spawn_file_actions_init(&files);
  posix_spawnattr_init(&how);
  if (!ends.input) posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  if (ends.output >= 0) posix_spawn_file_actions_adddup2(&files, ends.output, STDOUT_FILENO);
  if (ends.error >= 0) posix_spawn_file_actions_adddup2(&files, ends.error, STDERR_FILENO);
  sigset_t defaults;
  sigemptyset(&defaults);
  for (const int number : {SIGINT, SIGQUIT, SIGPIPE}) sigaddset(&defaults, number);
  posix_spawnattr_setsigdefault(&how, &defaults);
  posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGDEF);
  pid_t child = 0;
  const int failed = ::posix_spawnp(&child, argv[0], &files, &how, argv.data(), environ);
  posix_spawnattr_destroy(&how);
  posix_spawn_file_actions_destroy(&files);
  if (failed != 0) return failure(culvert::format("starting {}: {}", words[0], errno_text(failed)));
  return child;
}

int code_of(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {}
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

struct Pipe {
  Fd read, write;
};

Result<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return failure_errno("making a pipe");
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

// Reads both to their ends, whichever has something.
void read_both(Pipe& out, Pipe& err, Printed& printed) {
  std::array<pollfd, 2> polled = {{{out.read.get(), POLLIN, 0}, {err.read.get(), POLLIN, 0}}};
  const std::array<std::string*, 2> into = {&printed.out, &printed.err};
  std::array<char, 16384> buffer;
  while (polled[0].fd >= 0 || polled[1].fd >= 0) {
    if (::poll(polled.data(), polled.size(), -1) < 0 && errno != EINTR) return;
    for (std::size_t i = 0; i < polled.size(); ++i) {
      if (polled[i].fd < 0 || polled[i].revents == 0) continue;
      const ssize_t count = ::read(polled[i].fd, buffer.data(), buffer.size());
      if (count > 0) into[i]->append(buffer.data(), static_cast<std::size_t>(count));
      else if (count == 0 || errno != EINTR) polled[i].fd = -1;
    }
  }
}

}  // namespace

Result<int> pass_on(const std::vector<std::string>& words, const std::function<void()>& meanwhile) {
  const Ignored ignored;
  const auto child = start(words, {});
  if (!child) return std::unexpected(child.error());
  const Fd end(static_cast<int>(::syscall(SYS_pidfd_open, *child, 0)));
  pollfd polled{end.get(), POLLIN, 0};
  while (end && meanwhile && ::poll(&polled, 1, kSecond) <= 0) meanwhile();
  return code_of(*child);
}

Result<Printed> listen_to(const std::vector<std::string>& words) {
  auto out = make_pipe(), err = make_pipe();
  if (!out || !err) return std::unexpected((out ? err : out).error());
  const auto child = start(words, {.input = false, .output = out->write.get(), .error = err->write.get()});
  if (!child) return std::unexpected(child.error());
  out->write.reset();
  err->write.reset();
  Printed printed;
  read_both(*out, *err, printed);
  printed.code = code_of(*child);
  return printed;
}

}  // namespace culvert::cli::install
