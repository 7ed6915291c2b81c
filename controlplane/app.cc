#include "controlplane/app.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <cstdio>
#include <format>
#include <memory>
#include <optional>
#include <utility>

#include "common/base/log.h"
#include "common/base/version.h"
#include "common/config/source/folder_source.h"
#include "common/net/signals.h"
#include "common/net/timer.h"
#include "common/xds/wire.h"
#include "controlplane/ca/callers.h"
#include "controlplane/ca/files.h"
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
        ca_(loop, authority_, mesh_.store().objects(), issue_policy(settings), registry_),
        unproved_(registry_.counter("culvert_unproved_calls_total", "Calls without a valid token.")),
        renewal_(loop),
        admin_(loop, "culvertd") {
    registry_.add_process();
    registry_.observe("culvert_build_info", "The version that runs.", telemetry::Kind::kGauge, [] { return 1.0; },
                      {{"version", std::string(kVersion)}, {"component", "culvertd"}});
  }

  // In the order of need: certificates, callers, configuration, and only then the door.
  Status start() {
    if (auto done = begin_certificate(); !done) return done;
    auto callers = Callers::open(loop_, settings_.tokens.string(), [this] { tokens_changed(); });
    if (!callers) return std::unexpected(std::move(callers).error());
    callers_ = std::move(*callers);
    auto source = config::FolderSource::open(loop_, settings_.config_dir.string(), {.status = true, .whole = true},
                                             [this](config::Diff diff) {
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
      note_unproved(*call);
      return call->finish({.code = kUnauthenticated, .text = "authentication failure"});
    }
    if (call->path() == xds::kAdsPath) return xds_.serve(std::move(call), *node);
    if (call->path() == kCreateCertificatePath) return ca_.serve(std::move(call), *node);
    call->finish({.code = kUnimplemented, .text = "unknown method " + call->path()});
  }

  // Anybody can make us say this: a line in ten seconds is enough to find out who.
  void note_unproved(const rpc::ServerCall& call) {
    constexpr auto kPause = std::chrono::seconds(10);
    unproved_.add();
    const auto now = net::Clock::now();
    if (now < quiet_until_) {
      ++unsaid_;
      return;
    }
    quiet_until_ = now + kPause;
    log::warn("rpc", "refused a call without a valid token",
              {log::field("peer", call.peer()), log::field("path", call.path().substr(0, 100)),
               log::field("not_logged_before", std::exchange(unsaid_, 0))});
  }

  void tokens_changed() {
    xds_.check([this](const rpc::ServerCall& call, const std::string& node) { return callers_->node_of(call) == node; });
  }

  // A new certificate at each start, since the names may be others. When that fails and one that is valid stands on disk, it goes on with that.
  Status begin_certificate() {
    const std::string folder = settings_.data_dir.string();
    auto certificate = write_server_certificate(authority_, folder, settings_.names);
    if (!certificate) {
      const std::string why = certificate.error().text;
      certificate = read_server_certificate(authority_, folder);
      if (!certificate) return failure(why);
      log::warn("ca", "goes on with the server's certificate of before: " + why,
                {log::field("expires", certificate->expires_at())});
    }
    certificate_ = std::move(*certificate);
    tend();
    return {};
  }

  // By the clock on the wall, looked at again and again: a timer of twelve hours does not notice that the clock was set or the machine slept.
  void tend() {
    constexpr auto kAgain = std::chrono::minutes(5);
    if (is_due(*certificate_, std::chrono::system_clock::now())) {
      if (auto certificate = write_server_certificate(authority_, settings_.data_dir.string(), settings_.names)) {
        certificate_ = std::move(*certificate);
      } else {
        log::error("ca", "renewing the server's certificate: " + certificate.error().text,
                   {log::field("expires", certificate_->expires_at())});
      }
    }
    renewal_.arm(kAgain, [this] { tend(); });
  }

  net::Loop& loop_;
  const Settings& settings_;
  const settings::Table& table_;
  telemetry::Registry registry_;
  tls::Authority authority_;
  std::optional<tls::Certificate> certificate_;  // the server's, as it stands on disk
  Mesh mesh_;
  XdsService xds_;
  CaService ca_;
  telemetry::Counter& unproved_;
  net::Clock::time_point quiet_until_{};
  std::uint64_t unsaid_ = 0;
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
  const std::string data_dir = settings.data_dir.string();
  if (auto there = make_private_folder(data_dir); !there) return there;
  const auto lock = lock_folder(data_dir);
  if (!lock) return std::unexpected(lock.error());
  auto authority = load_or_make_authority(data_dir, settings.trust_domain);
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
