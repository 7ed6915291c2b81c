#include "controlplane/pages.h"

#include <string>

#include "common/base/version.h"

namespace culvert::controlplane {

void Pages::add_to(admin::Server& server) const {
  using admin::Port;
  admin::add_metrics(server, registry);
  admin::add_logging(server);
  const auto on = [&server](std::string path, std::string what, admin::Server::Handler handler) {
    server.on(Port::kAdmin, "GET", std::move(path), std::move(what), std::move(handler));
  };
  // Also beside the metrics: the kubelet does not come by way of localhost.
  server.on(Port::kMetrics, "GET", "/ready", "200 once the configuration is read and served",
            [is_ready = ready](const http::Request&) {
              const Status now = is_ready();
              return now ? http::text_response(200, "ready\n") : http::text_response(503, now.error().text + "\n");
            });
  on("/version", "what runs", [](const http::Request&) { return http::text_response(200, version_text() + "\n"); });
  server.guard("/debug", Port::kMetrics, may_debug);
  for (const DebugPage& page : debug) server.on_async(Port::kAdmin, "GET", "/debug/" + page.name, page.what, page.answer);
}

}  // namespace culvert::controlplane
