#pragma once
// The socket that the CNI plugin asks (cni/ask/messages.h). On one loop's thread.
//
// Root's alone. One question a connection; who says nothing for a while, says too much or comes when too many are here already is sent away, and
// the plugin says so to the kubelet.

#include <functional>
#include <memory>
#include <string>

#include "cni/ask/messages.h"
#include "common/base/fd.h"
#include "common/base/result.h"
#include "common/net/loop.h"
#include "common/net/seq_packet.h"

namespace culvert::agent {

class AskEndpoint {
 public:
  // May take its time; the connection waits for it.
  using Handler = std::function<net::Task<ask::Answer>(ask::Question question, Fd netns)>;

  // Makes the socket's folder when missing. The endpoint must outlive the loop's run.
  static Result<std::unique_ptr<AskEndpoint>> open(net::Loop& loop, const std::string& path, Handler handler);
  AskEndpoint(const AskEndpoint&) = delete;
  AskEndpoint& operator=(const AskEndpoint&) = delete;

  // No other plugin finds us. A socket that lies there for somebody else stays.
  void unlink() const { socket_.unlink(); }

 private:
  AskEndpoint(net::Loop& loop, net::SeqPacketListener socket, Handler handler);
  net::Task<> accept_all();
  net::Task<> serve(net::SeqPacket socket);
  net::Task<ask::Answer> answer(net::Packet packet);

  net::Loop& loop_;
  net::SeqPacketListener socket_;
  Handler handler_;
  std::size_t serving_ = 0;
};

}  // namespace culvert::agent
