#pragma once
// Tells when the file of trusted roots says something else. A mounted ConfigMap changes by links, in folders that come and go: the file is looked at every
// two seconds, which is two system calls. On one Loop.

#include <functional>
#include <string>

#include "common/net/loop.h"
#include "common/net/timer.h"

namespace culvert::ztunnel {

class RootsFile {
 public:
  static constexpr auto kPause = std::chrono::seconds(2);

  // `changed`: it holds other certificates than when it was looked at last. A file that is not there, or holds none, is no change.
  RootsFile(net::Loop& loop, std::string path, std::function<void()> changed, net::Clock::duration pause = kPause);

 private:
  struct Mark {
    unsigned long device = 0, file = 0;
    long seconds = 0, nanoseconds = 0;
    long size = -1;
    friend bool operator==(const Mark&, const Mark&) = default;
  };
  Mark mark() const;
  void look();

  std::string path_;
  std::function<void()> changed_;
  net::Clock::duration pause_;
  Mark mark_;
  std::string text_;
  net::Timer timer_;
};

}  // namespace culvert::ztunnel
