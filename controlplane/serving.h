#pragma once
// What culvertd does for proxies, whatever its configuration comes from: the CA, discovery, certificate signing, metrics and debug pages. Configuration
// and callers are brought to it. On the control thread.

#include <memory>
#include <optional>

#include "common/admin/server.h"
#include "common/net/timer.h"
#include "common/tls/session.h"
#include "controlplane/ca/callers.h"
#include "controlplane/ca/root.h"
#include "controlplane/ca/service.h"
#include "controlplane/mesh.h"
#include "controlplane/settings.h"
#include "controlplane/xds/service.h"

namespace culvert::controlplane {

class Serving {
 public:
  Serving(net::Loop& loop, const Settings& settings, const settings::Table& table, Ca ca);

  // Our own certificate, metrics and debug pages. Not ready yet.
  Status begin();
  // The door to proxies: once the configuration is here, whole. `callers` tells who they are.
  Status open(std::unique_ptr<Callers> callers);
  bool opened() const { return server_ != nullptr; }

  // One step of the source of configuration.
  void apply(config::Diff diff);

  telemetry::Registry& registry() { return registry_; }
  const derive::Objects& objects() const { return mesh_.store().objects(); }
  const Ca& ca() const { return ca_; }
  XdsService& xds() { return xds_; }
  std::uint16_t port() const { return server_->port(); }
  // Our own certificate for other servers of ours, as it is now.
  Result<tls::Context> server_context() const;
  // What /ready says while it is not open: what is waited for.
  void waiting_for(std::function<std::string()> why) { waiting_ = std::move(why); }

 private:
  void begin(rpc::CallRef call);
  void admit(rpc::CallRef call, const Caller& caller);
  void note_unproved(const rpc::ServerCall& call, const std::string& why);
  Status begin_certificate();
  void tend();
  Status serve_pages();

  net::Loop& loop_;
  const Settings& settings_;
  const settings::Table& table_;
  telemetry::Registry registry_;
  const Ca ca_;
  std::optional<tls::Certificate> certificate_;  // the server's, as it stands on disk
  Mesh mesh_;
  XdsService xds_;
  CaService certificates_;
  telemetry::Counter& unproved_;
  net::Clock::time_point quiet_until_{};
  std::uint64_t unsaid_ = 0;
  net::Timer renewal_;
  std::unique_ptr<Callers> callers_;
  std::function<std::string()> waiting_;
  admin::Server admin_;
  std::unique_ptr<rpc::CallServer> server_;
};

}  // namespace culvert::controlplane
