#pragma once
// Programs that are run for the operator: argument vectors, no shell. Found in PATH. The calling thread waits.

#include <functional>
#include <string>
#include <vector>

#include "common/base/result.h"

namespace culvert::cli::install {

struct Printed {
  int code = 0;  // exit code; 128 and the signal, as shells have it
  std::string out;
  std::string err;
};

// Runs it on our own terminal: its output is ours, and so is its input. An interrupt reaches it as it reaches us, and it is its end that is waited
// for. `meanwhile` is called about every second while it runs. Fails when it cannot be started.
Result<int> pass_on(const std::vector<std::string>& words, const std::function<void()>& meanwhile = {});

// Runs it without input and keeps what it prints.
Result<Printed> listen_to(const std::vector<std::string>& words);

}  // namespace culvert::cli::install
