#pragma once
// The life of our connection to the node agent (ZDS, protocols.md §5.1): connects, and again whenever it breaks; takes pods, has their
// proxies started before it says so, and stops those that leave. Proxies go on while there is no agent. One Loop: the control thread's.

#include <functional>
#include <memory>
#include <string>

#include "common/net/event.h"
#include "common/net/seq_packet.h"
#include "common/net/task.h"
#include "common/zds/client.h"

namespace culvert::ztunnel {

class Agent {
 public:
  struct Hooks {
    std::function<net::Task<Status>(zds::Client::Start)> start;  // on every worker
    std::function<void(const std::string& uid)> stop;            // on every worker
    std::function<void()> changed;                               // readiness may differ
  };
  Agent(net::Loop& loop, std::string path, Hooks hooks);
  ~Agent();
  Agent(const Agent&) = delete;

  void start();
  void close();  // no new pods: we are ending
  bool ready() const { return client_.ready(); }
  std::string pending() const { return client_.pending(); }

 private:
  net::Task<> live();
  net::Task<> retry();
  net::Task<Status> serve();                               // one connection
  net::Task<std::string> begin(zds::Client::Start start);  // the answer to send, if one is due

  net::Loop& loop_;
  std::string path_;
  Hooks hooks_;
  zds::Client client_;
  net::SeqPacket socket_;
  std::chrono::milliseconds pause_{};
  net::Event failed_;  // a proxy could not be started, there is something to retry
  bool closed_ = false;
};

}  // namespace culvert::ztunnel
