#pragma once
// The admin pages of every program: a small HTTP/1.1 server on the control thread's Loop.
//
//   admin::Server admin(loop, "ztunnel");
//   admin::add_metrics(admin, registry);                 // /metrics, /stats/prometheus
//   admin::add_logging(admin);                           // /logging
//   admin::add_quit(admin, [&] { drain.begin(); });      // /quitquitquit
//   admin.on(admin::Port::kAdmin, "GET", "/config_dump", "what the workers use", [&](const http::Request&) { return http::json_response(dump()); });
//   admin.listen(admin::Port::kAdmin, {.at = localhost 15000});
//   admin.listen(admin::Port::kMetrics, {.at = wildcard 15020});
//   admin.listen(admin::Port::kReadiness, {.at = wildcard 15021});
//
// A port serves 64 connections at a time; past that the one that has idled longest is closed for a new one.
// A listener shows only the pages of its Port (kAdmin: all), so that what changes or tells much stays on localhost. On kAdmin a request
// must name the host as localhost or by address: a page in somebody's browser cannot reach it through a name of its own. So must one for a guarded
// page from this machine without an Authorization.

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/base/address.h"
#include "common/base/settings.h"
#include "common/http/message.h"
#include "common/net/listener.h"
#include "common/net/loop.h"
#include "common/telemetry/registry.h"

namespace culvert::admin {

enum class Port : std::uint8_t { kAdmin, kMetrics, kReadiness };

class Server {
 public:
  using Handler = std::function<http::Response(const http::Request&)>;
  using AsyncHandler = std::function<net::Task<http::Response>(http::Request)>;
  // Lets a request by with nothing, or answers it. The request as the handler would get it, and who asks.
  using Guard = std::function<net::Task<std::optional<http::Response>>(http::Request, Endpoint peer)>;

  Server(net::Loop& loop, std::string program);
  ~Server();  // closes listeners and connections
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Before listen(). `what` is the line of the index page `/`. HEAD is answered for every GET.
  void on(Port port, std::string method, std::string path, std::string what, Handler handler);
  void on_async(Port port, std::string method, std::string path, std::string what, AsyncHandler handler);

  // Before listen(). Every page whose path begins with `prefix` is shown to whom `guard` lets by alone, and to them also on `too`, whatever its own port.
  void guard(std::string prefix, Port too, Guard guard);

  // Fails as Listener::open does: "listening on 127.0.0.1:15000: Address already in use".
  // Returns where it listens (port 0 is for tests).
  Result<Endpoint> listen(Port port, const net::ListenOptions& options);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

// The settings in force, as the pages of programs show them: a list of objects.
std::string settings_json(const settings::Table& table);

// /metrics in the format that is asked for: OpenMetrics, or else Prometheus's text 0.0.4, which `text` is.
http::Response metrics_response(const http::Request& request, std::string text);

// `registry` and what `quit` uses must outlive the server.
void add_metrics(Server& server, const telemetry::Registry& registry);
// GET shows the levels; POST ?level=DIRECTIVE and ?reset change them.
void add_logging(Server& server);
// `quit` should begin the end, not be it: the answer is sent after it returns.
void add_quit(Server& server, std::function<void()> quit);

// Listens on 127.0.0.1:port, and on [::1] unless the machine has no IPv6 there.
Status listen_localhost(Server& server, Port port, std::uint16_t number);
// Listens on [::]:port for both families, or 0.0.0.0 when IPv6 is off.
Status listen_wildcard(Server& server, Port port, std::uint16_t number);

}  // namespace culvert::admin
