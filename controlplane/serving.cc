#include "controlplane/serving.h"

#include <random>
#include <utility>

#include "common/base/format.h"
#include "common/base/log.h"
#include "common/base/version.h"
#include "common/rpc/credentials.h"
#include "common/xds/wire.h"
#include "controlplane/ca/certificate_caller.h"
#include "controlplane/ca/upstream_signer.h"
#include "controlplane/pages.h"

namespace culvert::controlplane {
namespace {

constexpr int kPermissionDenied = 7;
constexpr int kUnimplemented = 12;
constexpr int kUnauthenticated = 16;

derive::Settings derive_settings(const Settings& settings) {
  return {.cluster_id = settings.cluster_id,
          .trust_domain = settings.trust_domain,
          .trust_domain_aliases = {},
          .cluster_domain = settings.cluster_domain,
          .root_namespace = settings.root_namespace,
          .system_namespace = settings.system_namespace,
          .dry_run_policies = settings.dry_run_policies,
          .allocate_addresses = !settings.config_dir.empty(),  // nobody writes a status there
          .entry_visibility = {},
          .discovery = {},
          .root_trust_domain = {}};
}

// Of one process among all that there are and were.
std::string random_name() {
  std::random_device random;
  return culvert::format("{:08x}{:08x}", random(), random());
}

IssuePolicy issue_policy(const Settings& settings) {
  return {.trust_domain = settings.trust_domain,
          .default_lifetime = settings.default_lifetime,
          .max_lifetime = settings.longest_lifetime()};
}

// The roots of both, each once.
std::string joined_roots(const std::string& some, const std::string& others) {
  std::string out;
  for (const std::string& text : {some, others}) {
    const auto roots = tls::Certificate::parse_all(text, tls::kMaxRoots);
    for (const tls::Certificate& root : roots.value_or(std::vector<tls::Certificate>()))
      if (const std::string pem = root.pem(); !out.contains(pem)) out += pem;
  }
  return out;
}

}  // namespace

// Members are destroyed in reverse: first the server, last what it reads from.
Serving::Serving(net::Loop& loop, const Settings& settings, const settings::Table& table)
    : loop_(loop),
      settings_(settings),
      table_(table),
      issuer_(loop, settings.root_overlap, registry_),
      mesh_(derive_settings(settings), registry_),
      xds_(loop, mesh_.snapshot(), registry_, [this](Epoch epoch) { mesh_.forget_removals(epoch); }),
      trust_domain_(settings.trust_domain),
      certificates_(loop, issuer_, mesh_.store().objects(), issue_policy(settings), registry_),
      unproved_(registry_.counter("culvert_unproved_calls_total", "Calls without a valid proof of who calls.")),
      renewal_(loop),
      instance_(random_name()),
      debug_(debug_pages({.mesh = mesh_,
                          .xds = xds_,
                          .settings = table,
                          .epochs = [this](http::Request request) { return epochs(std::move(request)); }})),
      debug_service_(loop, xds_, debug_, settings.pod_name.empty() ? own_name() : settings.pod_name),
      admin_(loop, "culvertd") {
  registry_.add_process();
  registry_.observe("pilot_info", "The version that runs.", telemetry::Kind::kGauge, [] { return 1.0; },
                    {{"version", std::string(kVersion)}});
  registry_.observe("culvert_build_info", "The version that runs.", telemetry::Kind::kGauge, [] { return 1.0; },
                    {{"version", std::string(kVersion)}, {"component", "culvertd"}});
  if (!settings.ca_addr.empty()) {
    sign_by(std::make_unique<UpstreamSigner>(
        loop, rpc::CaOptions{
                  .address = settings.ca_addr,
                  .credentials = {.token = settings.ca_token, .roots = settings.ca_root_ca, .cluster_id = settings.cluster_id}}));
  }
  issuer_.on_change([this](const Overlap::Change& change) { ca_changed(change); });
}

Status Serving::begin() { return serve_pages(); }

Status Serving::take(Ca ca) {
  const bool first = !issuer_.there();
  const Status taken = issuer_.offer(std::move(ca));
  if (!first) return {};
  if (!taken) return taken;
  follow_trust_domain();
  if (auto done = publish_roots(); !done) return done;
  return begin_certificate();
}

void Serving::sign_by(std::unique_ptr<Signer> signer) {
  elsewhere_ = std::move(signer);
  certificates_.sign_by(*elsewhere_);
}

// In a file for clients on this machine, and to whoever publishes it elsewhere.
Status Serving::publish_roots() {
  std::string roots = issuer_.roots_pem();
  if (settings_.signs_elsewhere()) {
    auto more = rpc::Credentials{.roots = settings_.signer_roots.string()}.roots_pem();
    if (!more) return std::unexpected(std::move(more).error().during("reading CULVERT_SIGNER_ROOTS"));
    roots = joined_roots(roots, *more);
  }
  if (std::exchange(roots_pem_, roots) == roots) return {};
  if (roots_changed_) roots_changed_();
  return write_roots(settings_.data_dir.string(), roots_pem_);
}

void Serving::ca_changed(const Overlap::Change& change) {
  if (!certificate_) return;  // the first: take() goes on
  if (change.roots) publish_roots_again();
  if (!change.signer) return;
  follow_trust_domain();
  renew_certificate();
}

// The root's where it names one, else MeshConfig's, else the setting: configuration and certificates always say the same.
void Serving::follow_trust_domain() {
  if (issuer_.there() && mesh_.sign_for(issuer_.root_trust_domain())) xds_.publish();
  if (std::exchange(trust_domain_, mesh_settings().trust_domain) == mesh_settings().trust_domain) return;
  certificates_.sign_for(trust_domain_);
  log::info("ca", "signs for another trust domain", {log::field("trust_domain", trust_domain_)});
}

Status Serving::open(std::unique_ptr<Callers> callers) {
  callers_ = std::move(callers);
  const DataFiles files(settings_.data_dir.string());
  auto server = rpc::CallServer::start(loop_,
                                       {.address = settings_.address,
                                        .plaintext_address = settings_.plaintext_address,
                                        .certificate_file = files.server_certificate,
                                        .key_file = files.server_key,
                                        .connections = {.connections = settings_.max_connections,
                                                        .of_address = settings_.max_connections_per_address,
                                                        .proof = settings_.proof_timeout,
                                                        .unproved = settings_.max_unproved_connections,
                                                        .unproved_of_address = settings_.max_unproved_per_address},
                                        .max_connection_age = settings_.max_connection_age},
                                       [this](const rpc::CallRef& call) { begin(call); });
  if (!server) return std::unexpected(std::move(server).error());
  server_ = std::move(*server);
  observe_connections();
  if (!settings_.plaintext_address.empty())
    log::warn("app",
              "serves discovery and certificates WITHOUT TLS as well: whoever sees that traffic has the tokens in it (unset "
              "CULVERT_PLAINTEXT_ADDRESS)",
              {log::field("address", settings_.plaintext_address), log::field("port", server_->plaintext_port())});
  log::info("app", "serving", {log::field("version", version_text()), log::field("port", port())});
  return {};
}

void Serving::observe_connections() {
  const auto figures = [this] { return server_ ? server_->figures() : rpc::Door::Figures{}; };
  const auto now = [&](const char* proved, std::size_t rpc::Door::Figures::* which) {
    registry_.observe(
        "culvert_connections", "Connections to the port of discovery and certificates, by whether their caller is proved.",
        telemetry::Kind::kGauge, [figures, which] { return static_cast<double>(figures().*which); }, {{"proved", proved}});
  };
  now("true", &rpc::Door::Figures::proved);
  now("false", &rpc::Door::Figures::unproved);
  for (std::size_t i = 0; i < rpc::Gate::kReasons; ++i)
    registry_.observe("culvert_connections_turned_away_total",
                      "Connections to that port refused or ended by us, by the bound that they met.", telemetry::Kind::kCounter,
                      [figures, i] { return static_cast<double>(figures().turned_away[i]); },
                      {{"reason", std::string(rpc::Gate::text(static_cast<rpc::Gate::Reason>(i)))}});
  registry_.observe("culvert_calls_turned_away_total",
                    "Calls refused because their connection or address has too many open, or unproved ones.",
                    telemetry::Kind::kCounter, [figures] { return static_cast<double>(figures().refused_calls); });
}

void Serving::apply(const config::Diff& diff) {
  if (mesh_.apply(diff)) xds_.publish();
  follow_trust_domain();
}

Status Serving::serve_pages() {
  const auto ready = [this]() -> Status {
    if (opened()) return {};
    return failure(waiting_ ? waiting_() : "the configuration is not read yet");
  };
  const auto guard = [this](http::Request request, Endpoint peer) { return may_debug(std::move(request), peer); };
  Pages{debug_, registry_, ready, guard}.add_to(admin_);
  if (auto at = admin::listen_wildcard(admin_, admin::Port::kMetrics, settings_.metrics_port); !at) return at;
  return admin::listen_localhost(admin_, admin::Port::kAdmin, settings_.debug_port);
}

// Whoever calls proves who it is first. A certificate that is shown has to be good in any case; a token says more.
void Serving::begin(const rpc::CallRef& call) {
  if (!call->certificate().empty()) {
    const auto caller = by_certificate(*call);
    if (!caller || call->metadata("authorization").empty()) return proved(call, caller);
  }
  callers_->prove(call->metadata("authorization"), call->peer().address,
                  [this, call](const Result<Caller>& caller) { proved(call, caller); });
}

void Serving::proved(const rpc::CallRef& call, const Result<Caller>& caller) {
  if (caller) {
    call->proved(caller->text());
    return admit(call, *caller);
  }
  note_unproved(call->peer(), call->path(), caller.error().text);
  call->finish({.code = kUnauthenticated, .text = "authentication failure"});
}

// Looked at each time: roots change, and certificates end.
Result<Caller> Serving::by_certificate(const rpc::ServerCall& call) const {
  return caller_by_certificate(call.certificate(), call.peer().address,
                               {.roots_pem = roots_pem_,
                                .trust_domain = trust_domain_,
                                .node_accounts = settings_.trusted_node_accounts,
                                .objects = mesh_.store().objects()},
                               std::chrono::system_clock::now());
}

void Serving::check_streams(const std::function<bool(const rpc::ServerCall& call, const std::string& node)>& still) {
  xds_.check([&](const rpc::ServerCall& call, const std::string& node) {
    if (!call.certificate().empty() && !by_certificate(call)) return false;
    return call.metadata("authorization").empty() || still(call, node);
  });
}

void Serving::admit(rpc::CallRef call, const Caller& caller) {
  if (call->path() == kCreateCertificatePath) return certificates_.serve(call, caller);
  if (call->path() == kDebugPath && caller.operates) return debug_service_.serve(call);
  if (call->path() != xds::kAdsPath && call->path() != kDebugPath)
    return call->finish({.code = kUnimplemented, .text = "unknown method " + call->path()});
  if (const std::string& as = caller.subscriber(); !as.empty() && call->path() == xds::kAdsPath)
    return xds_.serve(std::move(call), as);
  if (const auto left_out = quiet_.say(caller.text(), net::Clock::now()))
    log::warn("xds", "refused the mesh's configuration to one that is no node proxy",
              {log::field("caller", caller.text()), log::field("not_logged_before", *left_out)});
  call->finish({.code = kPermissionDenied, .text = "only node proxies get the mesh's configuration"});
}

// Anybody can make us say this.
void Serving::note_unproved(const Endpoint& peer, std::string_view path, const std::string& why) {
  unproved_.add();
  if (const auto left_out = quiet_.say("", net::Clock::now()))
    log::warn("rpc", "refused a call that proves nobody: " + why,
              {log::field("peer", peer.text()), log::field("path", std::string(path.substr(0, 100))),
               log::field("not_logged_before", *left_out)});
}

// A new certificate at each start, since the names may be others. When that fails and one that is valid stands on disk, it goes on with that.
Status Serving::begin_certificate() {
  const std::string folder = settings_.data_dir.string();
  auto certificate = write_server_certificate(issuer_.authority(), folder, settings_.names);
  if (!certificate) {
    const std::string why = certificate.error().text;
    certificate = read_server_certificate(issuer_.authority(), folder);
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

void Serving::publish_roots_again() {
  if (auto done = publish_roots(); !done) log::error("ca", "publishing the root certificates: " + done.error().text);
}

void Serving::renew_certificate() {
  if (auto certificate = write_server_certificate(issuer_.authority(), settings_.data_dir.string(), settings_.names)) {
    certificate_ = std::move(*certificate);
  } else {
    log::error("ca", "renewing the server's certificate: " + certificate.error().text,
               {log::field("expires", certificate_->expires_at())});
  }
}

// By the clock on the wall, looked at again and again: a timer of twelve hours does not notice that the clock was set or the machine slept.
void Serving::tend() {
  constexpr auto kAgain = std::chrono::minutes(5);
  if (is_due(*certificate_, std::chrono::system_clock::now())) renew_certificate();
  if (settings_.signs_elsewhere()) publish_roots_again();  // its roots are in a file that may have changed
  renewal_.arm(kAgain, [this] { tend(); });
}

}  // namespace culvert::controlplane
