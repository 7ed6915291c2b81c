// The pages that every program has.
#include <algorithm>
#include <boost/json.hpp>
#include <fstream>

#include "common/admin/server.h"
#include "common/base/log.h"

namespace culvert::admin {
namespace {

http::Response set_logging(const http::Request& request) {
  const auto level = request.query("level");
  const bool reset = request.query("reset").has_value();
  if (level || reset)
    if (auto set = log::set_levels(level.value_or(""), reset); !set) return http::text_response(400, set.error().text + "\n");
  return http::text_response(200, log::levels() + "\n");
}

bool ipv6_is_off() {
  std::ifstream file("/proc/sys/net/ipv6/conf/lo/disable_ipv6");
  char value = '1';  // no such file: no IPv6 at all
  file >> value;
  return value == '1';
}

Endpoint at(const char* address, std::uint16_t number) { return {.address = *IpAddress::parse(address), .port = number}; }

Status as_status(const Result<Endpoint>& result) {
  if (!result) return std::unexpected(result.error());
  return {};
}

}  // namespace

std::string settings_json(const settings::Table& table) {
  boost::json::array rows;
  for (const auto& row : table.shown()) {
    rows.push_back({{"name", row.name},
                    {"value", row.value},
                    {"default", row.fallback},
                    {"unit", row.unit},
                    {"source", name(row.source)},
                    {"doc", row.doc}});
  }
  return boost::json::serialize(rows) + "\n";
}

http::Response metrics_response(const http::Request& request, std::string text) {
  const bool open = request.headers.get("accept").value_or("").find("application/openmetrics-text") != std::string_view::npos;
  http::Response response = http::text_response(200, open ? telemetry::to_open_metrics(text) : std::move(text));
  response.headers.set("Content-Type", open ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                            : "text/plain; version=0.0.4; charset=utf-8");
  return response;
}

void add_metrics(Server& server, const telemetry::Registry& registry) {
  for (const char* path : {"/metrics", "/stats/prometheus"})
    server.on(Port::kMetrics, "GET", path, "metrics for Prometheus",
              [&registry](const http::Request& request) { return metrics_response(request, registry.text()); });
}

void add_logging(Server& server) {
  server.on(Port::kAdmin, "GET", "/logging", "log levels in force", set_logging);
  server.on(Port::kAdmin, "POST", "/logging", "?level=info,access=debug changes levels, ?reset begins with the default",
            set_logging);
}

void add_quit(Server& server, std::function<void()> quit) {
  server.on(Port::kAdmin, "POST", "/quitquitquit", "shuts down in good order", [quit = std::move(quit)](const http::Request&) {
    quit();
    return http::text_response(200, "shutting down now\n");
  });
}

Status listen_localhost(Server& server, Port port, std::uint16_t number) {
  const auto v4 = server.listen(port, {.at = at("127.0.0.1", number)});
  if (!v4 || ipv6_is_off()) return as_status(v4);
  return as_status(server.listen(port, {.at = at("::1", number)}));
}

Status listen_wildcard(Server& server, Port port, std::uint16_t number) {
  return as_status(server.listen(port, {.at = at(ipv6_is_off() ? "0.0.0.0" : "::", number)}));
}

}  // namespace culvert::admin
