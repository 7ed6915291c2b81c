#pragma once
// The validating webhook: HTTPS/1.1 for the API server, POST /validate. On the control thread. Anybody who reaches the port can ask: connections, sizes
// and times are bounded, and an answer tells nothing but what is wrong with the text that was sent.

#include <cstdint>
#include <functional>
#include <memory>

#include "common/base/result.h"
#include "common/net/loop.h"
#include "common/telemetry/registry.h"
#include "common/tls/session.h"

namespace culvert::controlplane {

class WebhookServer {
 public:
  static constexpr std::size_t kMostConnections = 100;
  static constexpr std::size_t kMostBytes = 8 << 20;  // an object in a review twice, old and new

  // `context` is asked for each connection: certificates are renewed. Port 0: the kernel chooses.
  static Result<std::unique_ptr<WebhookServer>> start(net::Loop& loop, std::uint16_t port, std::function<tls::Context()> context,
                                                      telemetry::Registry& registry);
  ~WebhookServer();
  WebhookServer(const WebhookServer&) = delete;
  WebhookServer& operator=(const WebhookServer&) = delete;

  std::uint16_t port() const;

 private:
  struct State;
  explicit WebhookServer(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace culvert::controlplane
