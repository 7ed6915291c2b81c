#include "cli/local/kept.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include <algorithm>

#include "common/base/format.h"

namespace culvert::local {
namespace {

using namespace std::chrono_literals;
constexpr auto kFirstPause = 100ms;
constexpr auto kLongestPause = 10'000ms;
constexpr auto kHealthy = 10s;  // who ran that long starts with the first pause again

}  // namespace

Kept::Kept(Loop& loop, std::string name, Start start, std::function<void()> changed)
    : loop_(loop), name_(std::move(name)), start_(std::move(start)), changed_(std::move(changed)), pause_(kFirstPause) {
  start_now();
}

Kept::~Kept() { loop_.cancel(timer_); }

void Kept::start_now() {
  timer_ = 0;
  started_ = Loop::Clock::now();
  if (auto pid = start_()) {
    pid_ = *pid;
  } else {
    last_end_ = pid.error().text;
    retry();
  }
}

void Kept::retry() {
  ++restarts_;
  if (Loop::Clock::now() - started_ > kHealthy) pause_ = kFirstPause;
  timer_ = loop_.after(pause_, [this] {
    start_now();
    changed_();
  });
  pause_ = std::min(pause_ * 2, kLongestPause);
}

void Kept::begin() {
  if (wanted_) return;
  wanted_ = true;
  pause_ = kFirstPause;
  if (!running()) start_now();
  changed_();
}

void Kept::stop(int signal) {
  wanted_ = false;
  loop_.cancel(timer_);
  if (running()) kill(pid_, signal);
}

void Kept::ended(int status) {
  pid_ = 0;
  last_end_ = WIFEXITED(status) ? culvert::format("exit code {}", WEXITSTATUS(status))
                                : culvert::format("signal {} ({})", WTERMSIG(status), strsignal(WTERMSIG(status)));
  if (wanted_) retry();
  changed_();
}

}  // namespace culvert::local
