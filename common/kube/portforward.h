#pragma once
// A connection to a port of a pod, by way of the API server and the pod's node, as kubectl port-forward makes them: also to what listens on the pod's
// own localhost. Over WebSocket, in the protocol v4.channel.k8s.io. On the Client's loop; one task at a time uses it.
//
//   auto port = co_await kube::PortForward::open(client, {"istio-system", "ztunnel-x"}, 15000, 10s);
//   co_await port->write(request);
//   auto piece = co_await port->read();
//
// The protocol cannot end one direction alone: whoever has said everything goes on reading, or closes.

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/kube/client.h"
#include "common/kube/object.h"

namespace culvert::kube {

class PortForward {
 public:
  // Fails when the API server refuses (RBAC: get and create on pods/portforward) or does not switch. That nothing listens on the port is said
  // by the first read().
  static net::Task<Result<PortForward>> open(Client& client, Key pod, std::uint16_t port, std::chrono::milliseconds timeout);
  PortForward(PortForward&&) noexcept;
  PortForward& operator=(PortForward&&) noexcept;
  ~PortForward();  // closes

  net::Task<Status> write(std::string_view bytes);
  // Some bytes; none when the pod's side has ended. Fails with what the node says: "Connection refused".
  net::Task<Result<std::string>> read();
  // Wakes who reads or writes, with a failure.
  void close();

 private:
  struct State;
  explicit PortForward(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace culvert::kube
