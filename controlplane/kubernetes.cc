#include "controlplane/kubernetes.h"

#include <algorithm>
#include <utility>

#include "common/base/log.h"
#include "common/config/kinds.h"
#include "common/derive/discovery.h"
#include "common/net/timer.h"
#include "controlplane/bundle.h"
#include "controlplane/ca/kube_callers.h"
#include "controlplane/ca/kube_root.h"
#include "controlplane/ca/kube_signer.h"
#include "controlplane/ca/trust_domain.h"
#include "controlplane/store/keep.h"

namespace culvert::controlplane {
namespace {

// Also what the ClusterRole in docs/operations.md grants.
std::vector<kube::Wanted> wanted(const std::string& system_namespace) {
  using enum config::Kind;
  std::vector<kube::Wanted> all = {{.kind = kConfigMap, .ns = system_namespace, .labels = {}, .fields = "metadata.name=istio"}};
  for (const auto kind : {kNamespace, kNode, kServiceAccount, kPod, kService, kEndpointSlice}) all.push_back({.kind = kind});
  for (const config::CustomKind& custom : config::custom_kinds()) all.push_back({.kind = custom.kind});
  return all;
}

std::string joined(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : "; ") + part;
  return text;
}

}  // namespace

Kubernetes::Kubernetes(net::Loop& loop, const Settings& settings, const settings::Table& table, kube::Access access,
                       std::function<void(Error)> failed)
    : loop_(loop),
      settings_(settings),
      name_(settings.pod_name.empty() ? own_name() : settings.pod_name),
      failed_(std::move(failed)),
      client_(loop, std::move(access), {.user_agent = "culvertd"}),
      serving_(std::make_unique<Serving>(loop, settings, table)),
      doubt_(loop) {
  serving_->waiting_for([this] { return source_ ? joined(source_->troubles()) : "the CA is not loaded yet" + trouble_; });
  loop.spawn(begin());
}

Kubernetes::~Kubernetes() = default;

net::Task<Result<Ca>> Kubernetes::load_ca() {
  const auto wanted = co_await ask_trust_domain(client_, serving_->mesh_settings());
  if (!wanted) co_return std::unexpected(wanted.error());
  co_return co_await load_or_make_ca(client_, settings_.system_namespace, wanted->trust_domain, settings_.root_lifetime,
                                     wanted->of);
}

net::Task<Status> Kubernetes::remember() {
  auto past = co_await find_past_roots(client_, settings_.system_namespace);
  if (!past) co_return std::unexpected(past.error());
  past_roots_ = std::make_unique<PastRootsWriter>(client_, settings_.system_namespace, past->text());
  serving_->remember(std::move(*past), [this](std::string text) { past_roots_->write(std::move(text)); });
  co_return Status{};
}

// The CA comes first. A server that cannot be asked yet is asked again; a Secret that cannot be used is for its owner to mend.
net::Task<> Kubernetes::begin() {
  constexpr std::chrono::milliseconds kLeast{250}, kMost{10'000};
  co_await loop_.yield();
  if (auto done = serving_->begin(); !done) co_return failed_(done.error());
  for (auto pause = kLeast;; pause = std::min(pause * 2, kMost)) {
    auto ca = co_await load_ca();
    if (ca) {
      if (const Status done = co_await remember(); !done) ca = std::unexpected(done.error());
    }
    if (ca) co_return serve(std::move(*ca));
    if (std::exchange(trouble_, ": " + ca.error().text) != ": " + ca.error().text)
      log::error("ca", "the CA cannot be loaded, and is tried again" + trouble_);
    co_await net::sleep_for(loop_, pause);
  }
}

void Kubernetes::serve(Ca ca) {
  if (auto done = serving_->take(std::move(ca)); !done) return failed_(done.error());
  serving_->on_roots([this] { roots_changed(); });
  if (!settings_.k8s_signer.empty())
    serving_->sign_by(std::make_unique<KubeSigner>(
        client_, KubeSigner::Options{.signer = settings_.k8s_signer, .roots = settings_.signer_roots.string()}));
  secrets_ = std::make_unique<CaSecrets>(
      client_,
      CaSecrets::Options{.ns = settings_.system_namespace,
                         .trust_domain = [this] { return trust_domain_wanted(serving_->objects(), serving_->mesh_settings()); },
                         .rotation = settings_.rotation()},
      [this](Ca changed) { std::ignore = serving_->take(std::move(changed)); });
  const auto served = [this](config::Kind kind) { return source_->served(kind); };
  statuses_ = std::make_unique<StatusWriter>(
      client_, serving_->objects(), serving_->mesh_settings(), serving_->tally(), serving_->registry(),
      StatusOptions{.served = served, .leads = [this] { return lease_ && lease_->leading(); }});
  serving_->on_doubts([this](const std::vector<config::Key>& objects) { statuses_->doubted(objects); });
  source_ = std::make_unique<kube::Source>(client_, kube::SourceOptions{.of = wanted(settings_.system_namespace), .keep = Keep()},
                                           serving_->registry(), [this](const config::Diff& diff) { changed(diff); });
  serving_->catch_up_by([this](std::optional<config::Key> object) { return catch_up(std::move(object)); });
}

// Of everything that means what people write. What the cluster itself writes all the time is as new as it has come: there may be a hundred thousand.
net::Task<Status> Kubernetes::catch_up(std::optional<config::Key> object) {
  using enum config::Kind;
  constexpr std::chrono::seconds kPatience{5};
  if (object) co_return co_await source_->catch_up(std::move(*object), kPatience);
  std::vector<config::Kind> kinds = {kConfigMap, kNamespace, kService};
  for (const config::CustomKind& custom : config::custom_kinds()) kinds.push_back(custom.kind);
  co_return co_await source_->catch_up_all(std::move(kinds), kPatience);
}

void Kubernetes::changed(const config::Diff& diff) {
  const bool namespaces = std::ranges::any_of(diff.changes, [](const auto& change) {
    return change.key.kind == config::Kind::kNamespace || change.key.kind == config::Kind::kConfigMap;  // MeshConfig selects them
  });
  doubtful_ = doubtful_ || std::ranges::any_of(diff.changes, [](const config::Change& change) {
                const bool holder = change.key.kind == config::Kind::kPod || change.key.kind == config::Kind::kServiceAccount;
                return holder && change.what == config::Change::What::kDelete;
              });
  std::vector<config::Key> keys;
  for (const config::Change& change : diff.changes) keys.push_back(change.key);
  statuses_->note(diff);
  serving_->apply(diff);
  if (addresses_) addresses_->changed(keys);
  if (publisher_ && namespaces) publisher_->namespaces_changed();
  if (!serving_->opened()) open();
}

void Kubernetes::open() {
  auto callers =
      std::make_unique<KubeCallers>(client_, serving_->objects(),
                                    KubeCallersOptions{.trust_domain = [this] { return serving_->mesh_settings().trust_domain; },
                                                       .audiences = settings_.token_audiences,
                                                       .trusted = settings_.trusted_node_accounts,
                                                       .authorities = settings_.trusted_authorities,
                                                       .system_namespace = settings_.system_namespace,
                                                       .remembered = settings_.token_review_ttl},
                                    serving_->registry());
  callers_ = callers.get();
  if (auto done = serving_->open(std::move(callers)); !done) return failed_(done.error());
  if (auto done = begin_webhook(); !done) return failed_(done.error());
  check_callers();
  publisher_ = std::make_unique<RootPublisher>(
      client_, serving_->objects(),
      [this](std::string_view ns) { return derive::is_in_mesh(ns, serving_->objects(), serving_->mesh_settings()); },
      serving_->roots_pem(), serving_->registry());
  bundle_ = std::make_unique<TrustBundle>(client_, serving_->roots_pem(), serving_->registry());
  addresses_ = std::make_unique<AddressWriter>(client_, serving_->objects(), serving_->registry(),
                                               [this](config::Kind kind) { return source_->served(kind); });
  lease_ = std::make_unique<kube::Lease>(
      client_, kube::LeaseOptions{.ns = settings_.system_namespace, .name = "culvertd", .identity = name_},
      [this](bool leading) { lead(leading); });
  serving_->registry().observe("culvert_leading", "1 for the replica that writes what is written once.", telemetry::Kind::kGauge,
                               [this] { return lease_ && lease_->leading() ? 1.0 : 0.0; });
}

// Streams go on for long: who is on the other end of them is looked at again when a pod or an account has changed, and for the tokens' own end now and
// then. Once in a second at most: it costs a little for each stream.
void Kubernetes::check_callers() {
  constexpr auto kPause = std::chrono::seconds(1), kAtLeast = std::chrono::seconds(10);
  const auto now = net::Clock::now();
  if (std::exchange(doubtful_, false) || now >= check_again_) {
    check_again_ = now + kAtLeast;
    serving_->check_streams(
        [this](const rpc::ServerCall& call, const std::string&) { return callers_->still(call.metadata("authorization")); });
  }
  doubt_.arm(kPause, [this] { check_callers(); });
}

void Kubernetes::lead(bool leading) {
  log::info("app", leading ? "leads" : "leads no more", {log::field("name", name_)});
  const auto leadership = leading ? kube::Leadership([this] { return lease_ && lease_->leading(); }) : kube::Leadership(false);
  publisher_->lead(leadership);
  bundle_->lead(leadership);
  secrets_->lead(leadership);
  past_roots_->lead(leadership);
  addresses_->lead(leadership);
  statuses_->lead(leading);
  if (registration_) registration_->lead(leadership);
}

void Kubernetes::roots_changed() {
  if (publisher_) publisher_->publish(serving_->roots_pem());
  if (bundle_) bundle_->publish(serving_->roots_pem());
  if (registration_) registration_->publish(serving_->roots_pem());
}

net::Task<> Kubernetes::end() {
  if (lease_) co_await lease_->release();
}

Status Kubernetes::begin_webhook() {
  if (settings_.webhook_port == 0) return {};
  auto server = open_tls_port(loop_, *serving_, settings_.webhook_port,
                              Among{serving_->objects(), serving_->mesh_settings(), serving_->tally().sharing});
  if (!server) return std::unexpected(std::move(server).error());
  webhook_ = std::move(*server);
  registration_ = std::make_unique<WebhookRegistration>(
      client_, WebhookAddress{.url = settings_.webhook_url, .ns = settings_.system_namespace}, serving_->roots_pem());
  return {};
}

}  // namespace culvert::controlplane
