#include "controlplane/kubernetes.h"

#include <algorithm>
#include <utility>

#include "common/base/log.h"
#include "common/config/kinds.h"
#include "common/net/timer.h"
#include "controlplane/ca/files.h"
#include "controlplane/ca/kube_callers.h"
#include "controlplane/ca/kube_root.h"

namespace culvert::controlplane {
namespace {

// Also what the ClusterRole in docs/operations.md grants.
std::vector<kube::Wanted> wanted() {
  using enum config::Kind;
  std::vector<kube::Wanted> all;
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

Result<kube::Access> access_of(const Settings& settings) {
  if (settings.kubeconfig.empty()) {
    auto access = kube::Access::in_cluster();
    if (!access) access.error().text += " (set --kubeconfig, or --config-dir for a folder of YAML)";
    return access;
  }
  return kube::Access::from_kubeconfig(settings.kubeconfig.string(), settings.context);
}

Kubernetes::Kubernetes(net::Loop& loop, const Settings& settings, const settings::Table& table, kube::Access access,
                       std::function<void(Error)> failed)
    : loop_(loop),
      settings_(settings),
      table_(table),
      name_(settings.pod_name.empty() ? own_name() : settings.pod_name),
      failed_(std::move(failed)),
      client_(loop, std::move(access), {.user_agent = "culvertd"}) {
  loop.spawn(begin());
}

Kubernetes::~Kubernetes() = default;

// The CA comes first. A server that cannot be asked yet is asked again; a Secret that cannot be used is for its owner to mend.
net::Task<> Kubernetes::begin() {
  constexpr std::chrono::milliseconds kLeast{250}, kMost{10'000};
  std::string said;
  for (auto pause = kLeast;; pause = std::min(pause * 2, kMost)) {
    auto ca = co_await load_or_make_ca(client_, settings_.system_namespace, settings_.trust_domain);
    if (ca) co_return serve(std::move(*ca));
    if (std::exchange(said, ca.error().text) != ca.error().text)
      log::error("ca", "the CA cannot be loaded, and is tried again: " + said);
    co_await net::sleep_for(loop_, pause);
  }
}

void Kubernetes::serve(Ca ca) {
  log::info("ca", "signs with " + ca.from,
            {log::field("serial", ca.authority.certificate().serial()),
             log::field("expires", ca.authority.certificate().expires_at())});
  const DataFiles files(settings_.data_dir.string());
  if (auto done = write_file(files.root, ca.roots_pem, Access::kEverybody); !done) return failed_(done.error());
  serving_ = std::make_unique<Serving>(loop_, settings_, table_, std::move(ca));
  serving_->waiting_for([this] { return source_ ? joined(source_->troubles()) : ""; });
  if (auto done = serving_->begin(); !done) return failed_(done.error());
  source_ = std::make_unique<kube::Source>(client_, kube::SourceOptions{.of = wanted()}, serving_->registry(),
                                           [this](config::Diff diff) { changed(std::move(diff)); });
}

void Kubernetes::changed(config::Diff diff) {
  const bool namespaces =
      std::ranges::any_of(diff.changes, [](const auto& change) { return change.key.kind == config::Kind::kNamespace; });
  serving_->apply(std::move(diff));
  if (publisher_ && namespaces) publisher_->namespaces_changed();
  if (serving_->opened()) return;
  auto callers = std::make_unique<KubeCallers>(client_, serving_->objects(),
                                               KubeCallersOptions{.trust_domain = settings_.trust_domain,
                                                                  .audiences = settings_.token_audiences,
                                                                  .trusted = settings_.trusted_node_accounts},
                                               serving_->registry());
  if (auto done = serving_->open(std::move(callers)); !done) return failed_(done.error());
  if (auto done = begin_webhook(); !done) return failed_(done.error());
  publisher_ = std::make_unique<RootPublisher>(client_, serving_->objects(), serving_->ca().roots_pem, serving_->registry());
  lease_ = std::make_unique<kube::Lease>(
      client_, kube::LeaseOptions{.ns = settings_.system_namespace, .name = "culvertd", .identity = name_},
      [this](bool leading) { lead(leading); });
  serving_->registry().observe("culvert_leading", "1 for the replica that writes what is written once.", telemetry::Kind::kGauge,
                               [this] { return lease_ && lease_->leading() ? 1.0 : 0.0; });
}

void Kubernetes::lead(bool leading) {
  log::info("app", leading ? "leads" : "leads no more", {log::field("name", name_)});
  publisher_->lead(leading);
  if (registration_) registration_->lead(leading);
}

Status Kubernetes::begin_webhook() {
  if (settings_.webhook_port == 0) return {};
  auto first = serving_->server_context();
  if (!first) return std::unexpected(std::move(first).error());
  auto server = WebhookServer::start(
      loop_, settings_.webhook_port,
      [this, last = std::move(*first)]() mutable {
        if (auto now = serving_->server_context()) last = std::move(*now);  // else that of before, as far as it lasts
        return last;
      },
      serving_->registry());
  if (!server) return std::unexpected(std::move(server).error());
  webhook_ = std::move(*server);
  registration_ = std::make_unique<WebhookRegistration>(
      client_, WebhookAddress{.url = settings_.webhook_url, .ns = settings_.system_namespace}, serving_->ca().roots_pem);
  return {};
}

}  // namespace culvert::controlplane
