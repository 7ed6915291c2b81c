#include "controlplane/app.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <cstdio>
#include <format>
#include <memory>
#include <optional>

#include "common/base/log.h"
#include "common/base/version.h"
#include "common/config/source/folder_source.h"
#include "common/net/signals.h"
#include "common/net/timer.h"
#include "common/xds/wire.h"
#include "controlplane/ca/callers.h"
#include "controlplane/ca/root.h"
#include "controlplane/ca/service.h"
#include "controlplane/mesh.h"
#include "controlplane/pages.h"
#include "controlplane/xds/service.h"

namespace culvert::controlplane {
namespace {

constexpr int kUnimplemented = 12;
constexpr int kUnauthenticated = 16;

derive::Settings derive_settings(const Settings& settings) {
  return {.cluster_id = settings.cluster_id,
          .trust_domain = settings.trust_domain,
          .cluster_domain = settings.cluster_domain,
          .root_namespace = settings.root_namespace,
          .dry_run_policies = settings.dry_run_policies};
}

IssuePolicy issue_policy(const Settings& settings) {
  return {.trust_domain = settings.trust_domain,
          .default_lifetime = settings.default_lifetime,
          .max_lifetime = settings.max_lifetime};
}

// Everything that lives while culvertd serves. Members are destroyed in reverse: first the server, last what it reads from.
class App {
 public:
  App(net::Loop& loop, const Settings& settings, const settings::Table& table, tls::Authority authority)
      : loop_(loop),
        settings_(settings),
        table_(table),
        authority_(std::move(authority)),
        mesh_(derive_settings(settings), registry_),
        xds_(mesh_.snapshot(), registry_, [this](Epoch epoch) { mesh_.forget_removals(epoch); }),
        ca_(authority_, mesh_.store().objects(), issue_policy(settings), registry_),
        unproved_(registry_.counter("culvert_unproved_calls_total", "Calls without a valid token.")),
        renewal_(loop),
        admin_(loop, "culvertd") {
    registry_.add_process();
    registry_.observe("culvert_build_info", "The version that runs.", telemetry::Kind::kGauge, [] { return 1.0; },
                      {{"version", std::string(kVersion)}, {"component", "culvertd"}});
  }

  // In the order of need: certificates, callers, configuration, and only then the door.
  Status start() {
    if (auto done = renew(); !done) return done;
    auto callers = Callers::open(loop_, settings_.tokens.string(), [this] { tokens_changed(); });
    if (!callers) return std::unexpected(std::move(callers).error());
    callers_ = std::move(*callers);
    auto source = config::FolderSource::open(loop_, settings_.config_dir.string(), {.status = true}, [this](config::Diff diff) {
      if (mesh_.apply(std::move(diff))) xds_.publish();
    });
    if (!source) return std::unexpected(std::move(source).error());
    source_ = std::move(*source);
    if (auto done = serve(); !done) return done;
    return serve_pages();
  }

  std::uint16_t port() const { return server_->port(); }

 private:
  Status serve() {
    const DataFiles files(settings_.data_dir.string());
    auto server = rpc::CallServer::start(loop_,
                                         {.address = settings_.address,
                                          .certificate_file = files.server_certificate,
                                          .key_file = files.server_key,
                                          .max_connection_age = settings_.max_connection_age},
                                         [this](rpc::CallRef call) { begin(std::move(call)); });
    if (!server) return std::unexpected(std::move(server).error());
    server_ = std::move(*server);
    return {};
  }

  Status serve_pages() {
    Pages{mesh_, xds_, table_, registry_}.add_to(admin_);
    if (auto at = admin::listen_wildcard(admin_, admin::Port::kMetrics, settings_.metrics_port); !at) return at;
    return admin::listen_localhost(admin_, admin::Port::kAdmin, settings_.debug_port);
  }

  // Whoever calls proves who it is first.
  void begin(rpc::CallRef call) {
    const std::optional<std::string> node = callers_->node_of(*call);
    if (!node) {
      unproved_.add();
      log::warn("rpc", "refused a call without a valid token",
                {log::field("peer", call->peer()), log::field("path", call->path())});
      return call->finish({.code = kUnauthenticated, .text = "authentication failure"});
    }
    if (call->path() == xds::kAdsPath) return xds_.serve(std::move(call), *node);
    if (call->path() == kCreateCertificatePath) return ca_.serve(std::move(call), *node);
    call->finish({.code = kUnimplemented, .text = "unknown method " + call->path()});
  }

  void tokens_changed() {
    xds_.check([this](const rpc::ServerCall& call, const std::string& node) { return callers_->node_of(call) == node; });
  }

  Status renew() {
    constexpr auto kRetry = std::chrono::minutes(5);
    auto done = write_server_certificate(authority_, settings_.data_dir.string(), settings_.names);
    if (!done) log::error("ca", "renewing the server's certificate: " + done.error().text);
    renewal_.arm(done ? net::Clock::duration(kServerLifetime / 2) : net::Clock::duration(kRetry), [this] { (void)renew(); });
    return done;
  }

  net::Loop& loop_;
  const Settings& settings_;
  const settings::Table& table_;
  telemetry::Registry registry_;
  tls::Authority authority_;
  Mesh mesh_;
  XdsService xds_;
  CaService ca_;
  telemetry::Counter& unproved_;
  net::Timer renewal_;
  std::unique_ptr<Callers> callers_;
  std::unique_ptr<config::FolderSource> source_;
  admin::Server admin_;
  std::unique_ptr<rpc::CallServer> server_;
};

// Each connected node is a descriptor.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

net::Task<> stop_on_signal(net::Loop& loop, net::Signals& signals) {
  const int number = co_await signals.next();
  log::info("app", "ending", {log::field("signal", number)});
  loop.stop();
}

Status serve(const Settings& settings, const settings::Table& table) {
  auto authority = load_or_make_authority(settings.data_dir.string(), settings.trust_domain);
  if (!authority) return std::unexpected(std::move(authority).error());
  net::Loop loop;
  net::Signals signals(loop, {SIGTERM, SIGINT});
  auto app = std::make_unique<App>(loop, settings, table, std::move(*authority));
  if (auto started = app->start(); !started) return started;
  loop.spawn(stop_on_signal(loop, signals));
  log::info("app", "serving", {log::field("version", std::string(kVersion)), log::field("port", app->port())});
  loop.run();
  return {};
}

}  // namespace

int run(const Settings& settings, const settings::Table& table) {
  ::umask(077);
  net::ignore_sigpipe();
  raise_descriptor_limit();
  Status ended = log::start(settings.log_level, settings.log_format == "json");
  if (ended) ended = serve(settings, table);
  log::stop();
  if (ended) return 0;
  std::fputs(std::format("culvertd: {}\n", ended.error().text).c_str(), stderr);
  return 1;
}

}  // namespace culvert::controlplane
