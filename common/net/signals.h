#pragma once
// Signals as something to await.

#include <initializer_list>
#include <memory>

#include "common/net/loop.h"

namespace culvert::net {

class Signals {
 public:
  Signals(Loop& loop, std::initializer_list<int> numbers);
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  // The number of the next signal, 0 once the Signals is closed.
  Task<int> next();
  void close();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

// SIGPIPE is ignored in every program of ours; call once, first thing in main.
void ignore_sigpipe();

}  // namespace culvert::net
