#pragma once
// The port with TLS by the mesh's own CA: the SPIFFE bundle, and on Kubernetes the validating webhook. On the control thread.

#include <memory>
#include <optional>

#include "controlplane/serving.h"
#include "controlplane/webhook/server.h"

namespace culvert::controlplane {

// On all addresses, once the CA is there; `serving` must outlive it. `among`: the objects that the webhook knows; none: no webhook.
Result<std::unique_ptr<WebhookServer>> open_tls_port(net::Loop& loop, Serving& serving, std::uint16_t port,
                                                     const std::optional<Among>& among);

}  // namespace culvert::controlplane
