#pragma once
// One data plane's connection as a load generator wants it: TLS, HTTP/2 and one call of gRPC, for as little of our own time as can be, since what the nodes
// take is taken from the control plane that is measured. (ztunnel's client is gRPC's, common/rpc/client.h.) On one loop.

#include <functional>
#include <memory>
#include <string>

#include "common/base/address.h"
#include "common/http/http2.h"
#include "common/net/loop.h"
#include "common/tls/session.h"

namespace culvert::bench {

class Plane {
 public:
  struct Events {
    std::function<void(std::string message)> on_message;
    std::function<void(std::string why)> on_end;  // once, the last; may destroy the Plane
  };
  // Calls `path` with `headers` on a connection of its own. `tls` must outlive it.
  Plane(net::Loop& loop, const tls::Context& tls, const Endpoint& server, const std::string& path,
        const http::HeaderList& headers, Events events);
  ~Plane();  // cuts the connection
  Plane(const Plane&) = delete;

  void send(http::Http2::Pieces message);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace culvert::bench
