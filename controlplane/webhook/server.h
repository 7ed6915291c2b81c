#pragma once
// The validating webhook: HTTPS/1.1 for the API server, POST /validate, and the pages that are for everybody, GET. On the control thread. Anybody who reaches the port can ask: connections, sizes
// and times are bounded, and an answer tells nothing but what is wrong with the text that was sent.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "common/base/result.h"
#include "common/net/loop.h"
#include "common/telemetry/registry.h"
#include "common/tls/session.h"
#include "controlplane/webhook/review.h"

namespace culvert::controlplane {

class WebhookServer {
 public:
  static constexpr std::size_t kMostConnections = 100;
  static constexpr std::size_t kMostOfOneAddress = 50;
  static constexpr std::size_t kMostBytes = 8 << 20;  // an object in a review twice, old and new
  static constexpr std::size_t kMostHeld = 64 << 20;  // of all requests at once

  // `context` is asked for each connection: certificates are renewed. `among` is what warnings need, and must outlive it; without it there is no webhook, only the
  // pages. Port 0: the kernel chooses.
  static Result<std::unique_ptr<WebhookServer>> start(net::Loop& loop, std::uint16_t port, std::function<tls::Context()> context,
                                                      const std::optional<Among>& among, telemetry::Registry& registry);
  ~WebhookServer();
  WebhookServer(const WebhookServer&) = delete;
  WebhookServer& operator=(const WebhookServer&) = delete;

  // A page: asked for its JSON text at each request. Before anything is awaited.
  void on(std::string path, std::function<std::string()> text);
  std::uint16_t port() const;

 private:
  struct State;
  explicit WebhookServer(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace culvert::controlplane
