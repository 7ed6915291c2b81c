#include "controlplane/serving.h"

#include <utility>

#include "common/base/log.h"
#include "common/base/version.h"
#include "common/xds/wire.h"
#include "controlplane/pages.h"

namespace culvert::controlplane {
namespace {

constexpr int kPermissionDenied = 7;
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

}  // namespace

// Members are destroyed in reverse: first the server, last what it reads from.
Serving::Serving(net::Loop& loop, const Settings& settings, const settings::Table& table, Ca ca)
    : loop_(loop),
      settings_(settings),
      table_(table),
      ca_(std::move(ca)),
      mesh_(derive_settings(settings), registry_),
      xds_(mesh_.snapshot(), registry_, [this](Epoch epoch) { mesh_.forget_removals(epoch); }),
      certificates_(loop, ca_.authority, ca_.roots_pem, mesh_.store().objects(), issue_policy(settings), registry_),
      unproved_(registry_.counter("culvert_unproved_calls_total", "Calls without a valid token.")),
      renewal_(loop),
      admin_(loop, "culvertd") {
  registry_.add_process();
  registry_.observe("culvert_build_info", "The version that runs.", telemetry::Kind::kGauge, [] { return 1.0; },
                    {{"version", std::string(kVersion)}, {"component", "culvertd"}});
}

Status Serving::begin() {
  if (auto done = begin_certificate(); !done) return done;
  return serve_pages();
}

Status Serving::open(std::unique_ptr<Callers> callers) {
  callers_ = std::move(callers);
  const DataFiles files(settings_.data_dir.string());
  auto server = rpc::CallServer::start(loop_,
                                       {.address = settings_.address,
                                        .certificate_file = files.server_certificate,
                                        .key_file = files.server_key,
                                        .max_connection_age = settings_.max_connection_age},
                                       [this](rpc::CallRef call) { begin(std::move(call)); });
  if (!server) return std::unexpected(std::move(server).error());
  server_ = std::move(*server);
  log::info("app", "serving", {log::field("version", std::string(kVersion)), log::field("port", port())});
  return {};
}

void Serving::apply(config::Diff diff) {
  if (mesh_.apply(std::move(diff))) xds_.publish();
}

Status Serving::serve_pages() {
  const auto ready = [this]() -> Status {
    if (opened()) return {};
    return failure(waiting_ ? waiting_() : "the configuration is not read yet");
  };
  Pages{mesh_, xds_, table_, registry_, ready}.add_to(admin_);
  if (auto at = admin::listen_wildcard(admin_, admin::Port::kMetrics, settings_.metrics_port); !at) return at;
  return admin::listen_localhost(admin_, admin::Port::kAdmin, settings_.debug_port);
}

// Whoever calls proves who it is first.
void Serving::begin(rpc::CallRef call) {
  callers_->prove(call, [this, call](const Result<Caller>& caller) {
    if (caller) return admit(call, *caller);
    note_unproved(*call, caller.error().text);
    call->finish({.code = kUnauthenticated, .text = "authentication failure"});
  });
}

void Serving::admit(rpc::CallRef call, const Caller& caller) {
  if (call->path() == kCreateCertificatePath) return certificates_.serve(std::move(call), caller);
  if (call->path() != xds::kAdsPath) return call->finish({.code = kUnimplemented, .text = "unknown method " + call->path()});
  if (!caller.node.empty()) return xds_.serve(std::move(call), caller.node);
  log::warn("xds", "refused the mesh's configuration to one that is no node proxy", {log::field("caller", caller.text())});
  call->finish({.code = kPermissionDenied, .text = "only node proxies get the mesh's configuration"});
}

// Anybody can make us say this: a line in ten seconds is enough to find out who.
void Serving::note_unproved(const rpc::ServerCall& call, const std::string& why) {
  constexpr auto kPause = std::chrono::seconds(10);
  unproved_.add();
  const auto now = net::Clock::now();
  if (now < quiet_until_) {
    ++unsaid_;
    return;
  }
  quiet_until_ = now + kPause;
  log::warn("rpc", "refused a call without a valid token: " + why,
            {log::field("peer", call.peer()), log::field("path", call.path().substr(0, 100)),
             log::field("not_logged_before", std::exchange(unsaid_, 0))});
}

// A new certificate at each start, since the names may be others. When that fails and one that is valid stands on disk, it goes on with that.
Status Serving::begin_certificate() {
  const std::string folder = settings_.data_dir.string();
  auto certificate = write_server_certificate(ca_.authority, folder, settings_.names);
  if (!certificate) {
    const std::string why = certificate.error().text;
    certificate = read_server_certificate(ca_.authority, folder);
    if (!certificate) return failure(why);
    log::warn("ca", "goes on with the server's certificate of before: " + why,
              {log::field("expires", certificate->expires_at())});
  }
  certificate_ = std::move(*certificate);
  tend();
  return {};
}

Result<tls::Context> Serving::server_context() const {
  auto pair = read_server_pair(settings_.data_dir.string());
  if (!pair) return std::unexpected(std::move(pair).error());
  return tls::Context::server(*pair, {"http/1.1"});
}

// By the clock on the wall, looked at again and again: a timer of twelve hours does not notice that the clock was set or the machine slept.
void Serving::tend() {
  constexpr auto kAgain = std::chrono::minutes(5);
  if (is_due(*certificate_, std::chrono::system_clock::now())) {
    if (auto certificate = write_server_certificate(ca_.authority, settings_.data_dir.string(), settings_.names)) {
      certificate_ = std::move(*certificate);
    } else {
      log::error("ca", "renewing the server's certificate: " + certificate.error().text,
                 {log::field("expires", certificate_->expires_at())});
    }
  }
  renewal_.arm(kAgain, [this] { tend(); });
}

}  // namespace culvert::controlplane
