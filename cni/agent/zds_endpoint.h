#pragma once
// The socket that ztunnels connect to: zds::Server with real connections. Everything happens on one loop's thread.

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/fd.h"
#include "common/base/result.h"
#include "common/net/loop.h"
#include "common/net/seq_packet.h"
#include "common/net/timer.h"
#include "common/zds/server.h"

namespace culvert::agent {

class ZdsEndpoint {
 public:
  // Called on the loop. Must not destroy the endpoint.
  struct Listener {
    std::function<Status(pid_t ztunnel)> arrived;  // it has said hello, nothing was sent to it yet; an error sends it away
    std::function<void(pid_t ztunnel)> synchronised;
    std::function<void(pid_t ztunnel)> left;  // after arrived() succeeded
    std::function<void(std::string_view uid, std::string_view error)> added;
    std::function<void(std::string_view uid)> removed;
  };

  // Makes the socket's folder when missing; the socket is root's alone. Whoever connects waits until begin().
  static Result<std::unique_ptr<ZdsEndpoint>> open(net::Loop& loop, const std::string& path, Listener listener);
  ZdsEndpoint(const ZdsEndpoint&) = delete;
  ZdsEndpoint& operator=(const ZdsEndpoint&) = delete;

  // Once every pod that is captured has been added: a ztunnel lets go of those that its snapshot does not name.
  void begin();
  // No other ztunnel finds us. A socket that lies there for somebody else stays.
  void unlink() const { socket_.unlink(); }
  void add(zds::Pod pod, std::shared_ptr<const Fd> netns);  // listener.added follows
  void remove(std::string_view uid);                        // listener.removed follows, perhaps before this returns

  std::vector<pid_t> ztunnels() const;  // those that have said hello, the youngest process last
  bool has_ztunnel() const { return server_.has_ztunnel(); }

 private:
  struct Peer {
    net::SeqPacket socket;
    pid_t pid = 0;
    std::uint64_t started = 0;
    bool greeted = false;
  };
  using PeerPtr = std::shared_ptr<Peer>;

  ZdsEndpoint(net::Loop& loop, net::SeqPacketListener socket, Listener listener);
  net::Task<> accept_all();
  net::Task<> serve(zds::Server::Id id, PeerPtr peer);
  net::Task<> send(PeerPtr peer, zds::Server::Send message);
  void welcome(net::SeqPacket socket);
  Status greet(Peer& peer, std::string_view packet);
  void carry_out(zds::Server::Actions actions);
  void close(zds::Server::Id id, std::string_view why);

  net::Loop& loop_;
  net::SeqPacketListener socket_;
  Listener listener_;
  zds::Server server_;
  std::map<zds::Server::Id, PeerPtr> peers_;
  net::Timer deadline_;
};

}  // namespace culvert::agent
