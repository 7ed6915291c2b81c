#pragma once
// Unix SOCK_SEQPACKET: whole messages with descriptors (SCM_RIGHTS) and the peer's credentials. ZDS runs over it.

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "common/base/fd.h"
#include "common/base/result.h"
#include "common/net/io.h"
#include "common/net/loop.h"

namespace culvert::net {

struct Packet {
  std::vector<std::byte> bytes;
  std::vector<Fd> fds;
};

struct PeerCredentials {
  pid_t pid = 0;
  uid_t uid = 0;
  gid_t gid = 0;
};

class SeqPacket {
 public:
  SeqPacket();
  ~SeqPacket();
  SeqPacket(SeqPacket&&) noexcept;
  SeqPacket& operator=(SeqPacket&&) noexcept;

  // Connects at once or fails: "connecting to /run/x.sock: No such file or directory".
  static Result<SeqPacket> connect(Loop& loop, const std::string& path);
  static Result<SeqPacket> adopt(Loop& loop, Fd socket);
  static Result<std::pair<SeqPacket, SeqPacket>> pair(Loop& loop);

  explicit operator bool() const;

  // The next message; kEof when the peer has gone. A message over `limit` bytes or 16 descriptors is an error (its descriptors are closed).
  struct Received {
    Io io;
    Packet packet;
  };
  Task<Received> receive(std::size_t limit = 65536);
  // Sends one whole message; waits while the peer's queue is full. Descriptors stay the caller's.
  Task<Status> send(std::span<const std::byte> bytes, std::span<const int> fds = {});

  Result<PeerCredentials> peer_credentials() const;
  void close();  // wakes waiters with an error

 private:
  friend class SeqPacketListener;
  struct State;
  std::shared_ptr<State> state_;
};

class SeqPacketListener {
 public:
  SeqPacketListener();
  ~SeqPacketListener();
  SeqPacketListener(SeqPacketListener&&) noexcept;
  SeqPacketListener& operator=(SeqPacketListener&&) noexcept;

  // Replaces a socket file that nobody listens on any more. `mode` are the file's permissions.
  static Result<SeqPacketListener> open(Loop& loop, const std::string& path, mode_t mode = 0600);

  Task<Result<SeqPacket>> accept();
  void close();         // wakes the waiter; unlinks
  void unlink() const;  // removes the file if it is still ours: nobody else comes, those that have come are still accepted

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace culvert::net
