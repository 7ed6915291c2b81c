#pragma once
// Accepting TCP connections on one Loop.

#include <string>

#include "common/net/stream.h"

namespace culvert::net {

struct ListenOptions {
  Endpoint at;  // port 0: the kernel chooses, see local()
  int backlog = 1024;
  bool reuse_port = false;   // one listener per worker shares the port
  bool transparent = false;  // accepts connections whose destination is not ours
  bool v6_only = false;      // [::] without IPv4; else [::] takes both families
  std::uint32_t mark = 0;
  std::string device = {};
  int netns = -1;                           // a network namespace descriptor, not owned
  std::optional<Keepalive> keepalive = {};  // inherited by what is accepted
  bool reset_if_torn = false;               // what is accepted: see Stream
};

class Listener {
 public:
  Listener();
  ~Listener();
  Listener(Listener&&) noexcept;
  Listener& operator=(Listener&&) noexcept;

  static Result<Listener> open(Loop& loop, const ListenOptions& options);
  // Takes over a socket that listens already.
  static Result<Listener> adopt(Loop& loop, Fd socket);

  explicit operator bool() const;

  // Waits for a connection. A passing failure (no descriptors left) is returned after a short pause, so that a caller may
  // log it and accept again; after close() every call fails at once and closed() is true.
  Task<Result<Stream>> accept();

  void close();  // wakes the waiter
  bool closed() const;
  Endpoint local() const;
  int fd() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace culvert::net
