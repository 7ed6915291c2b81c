#pragma once
// A program that a test runs: its output collected, its end awaited with a bound. Killed when the handle goes away, and when the test dies.

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/base/fd.h"

namespace culvert::testing {

using namespace std::chrono_literals;
using Seconds = std::chrono::duration<double>;

struct Ran {
  int code = -1;    // exit code, or 128 + signal; -1 when it did not end in time
  std::string out;  // standard output and error together
};

class Process {
 public:
  explicit Process(const std::vector<std::string>& argv);
  Process(Process&&) noexcept;
  Process& operator=(Process&&) = delete;
  ~Process();

  // Waits until it has printed `text`; false when it ended or time is up before that.
  bool says(std::string_view text, Seconds patience = 10s);
  // Closes its standard input: what our peers wait for.
  void finish() { input_.reset(); }
  Ran wait(Seconds patience = 60s);
  bool running();
  void signal(int number);
  pid_t pid() const { return pid_; }
  const std::string& out() const { return out_; }

 private:
  bool read_some(Seconds patience);

  pid_t pid_ = 0;
  Fd input_, output_;
  std::string out_;
  std::optional<int> code_;
};

Ran run(const std::vector<std::string>& argv, Seconds patience = 60s);

// Asks again every 10 ms until it is true; false when time is up.
bool eventually(const std::function<bool()>& holds, Seconds patience = 10s);

}  // namespace culvert::testing
