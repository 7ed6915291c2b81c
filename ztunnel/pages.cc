#include "ztunnel/pages.h"

#include "ztunnel/app.h"

namespace culvert::ztunnel {
namespace {

http::Response readiness(const App& app) {
  const std::string pending = app.not_ready();
  return pending.empty() ? http::text_response(200, "ready\n")
                         : http::text_response(500, "not ready, pending: " + pending + "\n");
}

net::Task<http::Response> metrics(App* app, const telemetry::Registry* process, http::Request request) {
  std::string text = co_await app->metrics();
  co_return admin::metrics_response(request, text.append(process->text()));
}

net::Task<http::Response> dump(App* app) {
  std::string text = co_await app->dump();
  co_return http::json_response(std::move(text));
}

}  // namespace

Pages::Pages(App& app, const Settings& settings) : settings_(settings), server_(app.loop(), "ztunnel") {
  process_.add_process();
  App* const shown = &app;
  const telemetry::Registry* const process = &process_;
  for (const char* path : {"/metrics", "/stats/prometheus"}) {
    server_.on_async(admin::Port::kMetrics, "GET", path, "metrics, for Prometheus",
                     [shown, process](http::Request request) { return metrics(shown, process, std::move(request)); });
  }
  server_.on_async(admin::Port::kAdmin, "GET", "/config_dump",
                   "everything in force: workloads, services, policies, certificates, connections",
                   [shown](const http::Request&) { return dump(shown); });
  server_.on(admin::Port::kReadiness, "GET", "/healthz/ready", "is everything in place?",
             [shown](const http::Request&) { return readiness(*shown); });
  admin::add_logging(server_);
  admin::add_quit(server_, [shown] { shown->quit(); });
}

Status Pages::start() {
  if (auto done = admin::listen_localhost(server_, admin::Port::kAdmin, settings_.admin_port); !done) return done;
  if (auto done = admin::listen_wildcard(server_, admin::Port::kMetrics, settings_.stats_port); !done) return done;
  return admin::listen_wildcard(server_, admin::Port::kReadiness, settings_.readiness_port);
}

}  // namespace culvert::ztunnel
