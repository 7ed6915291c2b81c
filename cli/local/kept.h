#pragma once
// Programs that are kept running: started again when they end, after a pause that doubles while they keep ending.

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "cli/local/loop.h"
#include "common/base/result.h"

namespace culvert::local {

class Kept {
 public:
  using Start = std::function<Result<pid_t>()>;

  // `changed` is called after every start and end. Starts at once.
  Kept(Loop& loop, std::string name, Start start, std::function<void()> changed);
  ~Kept();  // leaves the process alone: whoever owns its cgroup ends it
  Kept(const Kept&) = delete;
  Kept& operator=(const Kept&) = delete;

  void begin();
  // Ends it and keeps it down until begin().
  void stop(int signal);
  void ended(int status);  // its pid was waited for

  const std::string& name() const { return name_; }
  pid_t pid() const { return pid_; }
  bool running() const { return pid_ > 0; }
  bool wanted() const { return wanted_; }
  int restarts() const { return restarts_; }
  const std::string& last_end() const {
    return last_end_;
  }  // "exit code 1", "signal 9 (Killed)", "starting x: No such file or directory"

 private:
  void start_now();
  void retry();

  Loop& loop_;
  std::string name_;
  Start start_;
  std::function<void()> changed_;
  pid_t pid_ = 0;
  bool wanted_ = true;
  int restarts_ = 0;
  std::string last_end_;
  Loop::Timer timer_ = 0;
  std::chrono::milliseconds pause_;
  Loop::Clock::time_point started_{};
};

}  // namespace culvert::local
