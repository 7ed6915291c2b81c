#pragma once
// culvertd on the Kubernetes API: configuration, callers and the CA from there. Each replica serves; one of them, the leader, writes what is to be
// written once. On the control thread.

#include <functional>
#include <memory>
#include <optional>

#include "common/kube/client.h"
#include "common/kube/lease.h"
#include "common/kube/source/kube_source.h"
#include "common/net/timer.h"
#include "controlplane/addresses/address_writer.h"
#include "controlplane/ca/ca_secrets.h"
#include "controlplane/ca/kube_callers.h"
#include "controlplane/ca/root_publisher.h"
#include "controlplane/ca/trust_bundle.h"
#include "controlplane/serving.h"
#include "controlplane/status/writer.h"
#include "controlplane/webhook/registration.h"
#include "controlplane/webhook/server.h"

namespace culvert::controlplane {

class Kubernetes {
 public:
  // Begins at once. `failed`: what culvertd cannot go on without, told once.
  Kubernetes(net::Loop& loop, const Settings& settings, const settings::Table& table, kube::Access access,
             std::function<void(Error)> failed);
  ~Kubernetes();

  // Leads no more, and says so: the next leader need not wait.
  net::Task<> end();

 private:
  net::Task<> begin();
  net::Task<Result<Ca>> load_ca();
  net::Task<Status> remember();
  void serve(Ca ca);
  void changed(const config::Diff& diff);
  net::Task<Status> catch_up(std::optional<config::Key> object);
  void open();
  void lead(bool leading);
  void roots_changed();
  void check_callers();
  Status begin_webhook();

  net::Loop& loop_;
  const Settings& settings_;
  const std::string name_;  // ours among the replicas
  std::function<void(Error)> failed_;
  std::string trouble_;  // why there is no CA yet
  kube::Client client_;
  std::unique_ptr<Serving> serving_;
  std::unique_ptr<StatusWriter> statuses_;
  std::unique_ptr<kube::Source> source_;
  std::unique_ptr<CaSecrets> secrets_;
  std::unique_ptr<PastRootsWriter> past_roots_;
  KubeCallers* callers_ = nullptr;  // serving_'s
  bool doubtful_ = false;           // a pod or an account is gone: its tokens are not good any more
  net::Clock::time_point check_again_{};
  net::Timer doubt_;
  std::unique_ptr<RootPublisher> publisher_;
  std::unique_ptr<TrustBundle> bundle_;
  std::unique_ptr<AddressWriter> addresses_;
  std::unique_ptr<WebhookServer> webhook_;
  std::unique_ptr<WebhookRegistration> registration_;
  std::unique_ptr<kube::Lease> lease_;
};

}  // namespace culvert::controlplane
