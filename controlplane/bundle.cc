#include "controlplane/bundle.h"

#include <utility>

#include "controlplane/ca/spiffe_bundle.h"

namespace culvert::controlplane {

Result<std::unique_ptr<WebhookServer>> open_tls_port(net::Loop& loop, Serving& serving, std::uint16_t port,
                                                     const std::optional<Among>& among) {
  auto first = serving.server_context();
  if (!first) return std::unexpected(std::move(first).error());
  auto server = WebhookServer::start(
      loop, port,
      [&serving, last = std::move(*first)]() mutable {
        if (auto now = serving.server_context()) last = std::move(*now);  // else that of before, as far as it lasts
        return last;
      },
      among, serving.registry());
  if (!server) return std::unexpected(std::move(server).error());
  (*server)->on(kBundlePath, [&serving] { return spiffe_bundle(serving.roots_pem(), serving.issuer().sequence()); });
  return server;
}

}  // namespace culvert::controlplane
