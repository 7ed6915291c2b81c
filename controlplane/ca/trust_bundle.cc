#include "controlplane/ca/trust_bundle.h"

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <set>
#include <utility>

#include "common/base/log.h"
#include "common/kube/request.h"
#include "common/kube/traces.h"
#include "common/net/event.h"
#include "common/tls/certificate.h"
#include "controlplane/ca/pause.h"

namespace culvert::controlplane {
namespace {

namespace json = boost::json;
using std::chrono::milliseconds;

constexpr std::string_view kSigner = "istio.io/istiod-ca";
constexpr milliseconds kAgain{60'000};     // until it is applied again
constexpr milliseconds kMissing{600'000};  // until it is looked whether such objects are served now

}  // namespace

// The API server takes certificates and nothing else, each once.
std::string cluster_trust_bundle(const std::string& version, const std::string& roots_pem) {
  std::set<std::string> seen;
  std::string bundle;
  const auto roots = tls::Certificate::parse_all(roots_pem, tls::kMaxRoots);
  for (const tls::Certificate& root : roots.value_or(std::vector<tls::Certificate>()))
    if (seen.insert(root.pem()).second) bundle += root.pem();
  return json::serialize(
      json::object{{"apiVersion", "certificates.k8s.io/" + version},
                   {"kind", "ClusterTrustBundle"},
                   {"metadata", {{"name", kube::root_bundle(version).name}, {"labels", {{"istio.io/config", "true"}}}}},
                   {"spec", {{"signerName", kSigner}, {"trustBundle", bundle}}}});
}

struct TrustBundle::State {
  State(kube::Client& its_client, std::string its_roots, telemetry::Registry& registry)
      : client(its_client),
        roots(std::move(its_roots)),
        published(registry.gauge("culvert_trust_bundle_published",
                                 "1 while this replica keeps the ClusterTrustBundle as it should be.")),
        changed(its_client.loop()) {}

  // In the newest version that is served. False: in none.
  net::Task<Result<bool>> write() {
    for (const std::string& version : kube::root_bundle_versions()) {
      kube::Request request =
          kube::apply(kube::root_bundle(version), cluster_trust_bundle(version, roots), {.field_manager = "culvertd"});
      request.still = [this] { return !closed && leading; };
      const auto answer = co_await client.exchange(request);
      if (!answer) co_return std::unexpected(answer.error());
      if (kube::is_success(answer->status)) co_return true;
      if (answer->status != kube::kNotFound) co_return std::unexpected(kube::refusal(request, answer->status, answer->body));
    }
    co_return false;
  }

  static net::Task<> run(std::shared_ptr<State> self) {
    std::string said;
    auto pause = kLeastPause;
    while (!self->closed) {
      if (!self->leading) {
        self->published.set(0);
        co_await self->changed.wait();
        continue;
      }
      const std::string sent = self->roots;
      const auto done = co_await self->write();
      if (self->closed) co_return;
      if (!done && !self->leading) continue;
      self->published.set(done && *done ? 1 : 0);
      pause = !done ? std::min(pause * 2, kMostPause) : *done ? kAgain : kMissing;
      const std::string now = !done ? "publishing the root certificates as a ClusterTrustBundle: " + done.error().text
                              : *done
                                  ? "published the root certificates as ClusterTrustBundle " + kube::root_bundle("v1").name
                                  : "the API server serves no ClusterTrustBundles: the root certificates are in ConfigMaps alone";
      if (std::exchange(said, now) != now) done ? log::info("ca", now) : log::warn("ca", now);
      if (done) pause = std::max(pause, kLeastPause);
      if (self->roots == sent) std::ignore = co_await self->changed.wait_for(pause);
      if (done) pause = kLeastPause;
    }
  }

  kube::Client& client;
  std::string roots;
  telemetry::Gauge& published;
  net::Event changed;
  kube::Leadership leading = false;
  bool closed = false;
};

TrustBundle::TrustBundle(kube::Client& client, std::string roots_pem, telemetry::Registry& registry)
    : state_(std::make_shared<State>(client, std::move(roots_pem), registry)) {
  client.loop().spawn(State::run(state_));
}

TrustBundle::~TrustBundle() {
  state_->closed = true;
  state_->changed.notify_all();
}

void TrustBundle::lead(kube::Leadership leading) {
  state_->leading = std::move(leading);
  state_->changed.notify_all();
}

void TrustBundle::publish(std::string roots_pem) {
  state_->roots = std::move(roots_pem);
  state_->changed.notify_all();
}

}  // namespace culvert::controlplane
