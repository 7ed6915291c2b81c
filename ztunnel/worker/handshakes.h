#pragma once
// The handshakes of inbound tunnels that are under way on one worker. A peer that has not proven who it is costs memory all the same, so
// only so many are under way at a time, for one pod and for all. When they are, the next one waits in its listener's queue until one has
// ended, or until the oldest has had its fair time and is dropped for it: silent peers cannot keep others out. One thread: the worker's.

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>

#include "common/net/event.h"
#include "ztunnel/worker/pod.h"

namespace culvert::ztunnel {

class Handshake;

class Handshakes {
 public:
  struct Limits {
    std::size_t of_pod = 256;
    std::size_t of_all = 1024;
    std::chrono::milliseconds fair{1000};
  };
  explicit Handshakes(net::Loop& loop) : Handshakes(loop, Limits{}) {}
  Handshakes(net::Loop& loop, Limits limits) : limits_(limits), changed_(loop) {}
  Handshakes(const Handshakes&) = delete;

  // Returns when another one may begin for this pod.
  net::Task<> room(std::shared_ptr<const Pod> pod);
  std::size_t size() const { return size_; }

 private:
  friend class Handshake;
  Handshake* in_the_way(const Pod& pod) const;  // the oldest of those that must end first; null when there is room

  const Limits limits_;
  net::Event changed_;
  Handshake* first_ = nullptr;  // the oldest
  Handshake* last_ = nullptr;
  std::size_t size_ = 0;
};

// One of them, from its construction until done() or its end. `drop` is called at most once, and must not destroy it at once.
class Handshake {
 public:
  Handshake(Handshakes& all, Pod& pod, std::function<void()> drop);
  ~Handshake() { done(); }
  Handshake(const Handshake&) = delete;

  void done();

 private:
  friend class Handshakes;
  Handshakes* all_;  // null once done
  Pod& pod_;
  std::function<void()> drop_;
  const net::Clock::time_point begun_ = net::Clock::now();
  Handshake* next_ = nullptr;
  Handshake* previous_;
};

}  // namespace culvert::ztunnel
