#pragma once
// UDP on one Loop, with the address each datagram was sent to, and answers from any address: what a transparent DNS proxy needs.

#include <memory>
#include <span>
#include <string>

#include "common/base/address.h"
#include "common/base/fd.h"
#include "common/base/result.h"
#include "common/net/io.h"
#include "common/net/loop.h"

namespace culvert::net {

struct DatagramOptions {
  Endpoint at;  // port 0: the kernel chooses
  bool reuse_port = false;
  bool transparent = false;  // receives what is sent to others' addresses, and may answer from them
  bool v6_only = false;
  std::uint32_t mark = 0;
  std::string device = {};
  int netns = -1;
};

class Datagram {
 public:
  Datagram();
  ~Datagram();
  Datagram(Datagram&&) noexcept;
  Datagram& operator=(Datagram&&) noexcept;

  static Result<Datagram> open(Loop& loop, const DatagramOptions& options);
  explicit operator bool() const;

  struct Received {
    Io io;  // kOk: `bytes` of the buffer are the datagram (0 is possible); a longer one is dropped
    Endpoint from;
    Endpoint to;  // as the sender addressed it; port from IP_RECVORIGDSTADDR
  };
  Received try_receive(std::span<std::byte> into);
  Task<Received> receive(std::span<std::byte> into);
  // `from`: source address of the answer (its port is always the socket's own; for another port open a socket bound to it).
  Io try_send(std::span<const std::byte> bytes, const Endpoint& to, const Endpoint& from = {});

  void close();
  Endpoint local() const;
  int fd() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace culvert::net
