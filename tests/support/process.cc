#include "tests/support/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <thread>

namespace culvert::testing {
namespace {

using Clock = std::chrono::steady_clock;

}  // namespace

Process::Process(const std::vector<std::string>& argv) {
  int in[2], out[2];
  if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) return;
  std::vector<char*> words;
  for (const auto& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  pid_ = fork();
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(in[0], 0);
    dup2(out[1], 1);
    dup2(out[1], 2);
    execvp(words[0], words.data());
    _exit(127);
  }
  close(in[0]);
  close(out[1]);
  input_.reset(in[1]);
  output_.reset(out[0]);
}

Process::Process(Process&& other) noexcept
    : pid_(std::exchange(other.pid_, 0)),
      input_(std::move(other.input_)),
      output_(std::move(other.output_)),
      out_(std::move(other.out_)),
      code_(other.code_) {}

Process::~Process() {
  if (pid_ <= 0 || code_) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

bool Process::read_some(Seconds patience) {
  pollfd waiting{.fd = output_.get(), .events = POLLIN, .revents = 0};
  const auto wait = std::chrono::ceil<std::chrono::milliseconds>(patience).count();
  if (wait <= 0 || poll(&waiting, 1, static_cast<int>(wait)) != 1) return false;
  std::array<char, 65536> buffer;
  const auto count = read(output_.get(), buffer.data(), buffer.size());
  if (count <= 0) return false;
  out_.append(buffer.data(), static_cast<std::size_t>(count));
  return true;
}

bool Process::says(std::string_view text, Seconds patience) {
  const auto deadline = Clock::now() + patience;
  while (!out_.contains(text)) {
    if (!read_some(deadline - Clock::now())) return false;
  }
  return true;
}

bool Process::running() {
  int status = 0;
  if (!code_ && waitpid(pid_, &status, WNOHANG) == pid_) code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return !code_;
}

Ran Process::wait(Seconds patience) {
  const auto deadline = Clock::now() + patience;
  while (read_some(deadline - Clock::now())) {}
  while (running() && Clock::now() < deadline) std::this_thread::sleep_for(2ms);
  return {code_.value_or(-1), out_};
}

void Process::signal(int number) {
  if (running()) kill(pid_, number);
}

Ran run(const std::vector<std::string>& argv, Seconds patience) {
  Process process(argv);
  process.finish();
  return process.wait(patience);
}

bool eventually(const std::function<bool()>& holds, Seconds patience) {
  const auto deadline = Clock::now() + patience;
  while (!holds()) {
    if (Clock::now() > deadline) return false;
    std::this_thread::sleep_for(10ms);
  }
  return true;
}

}  // namespace culvert::testing
