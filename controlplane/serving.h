#pragma once
// What culvertd does for proxies, whatever its configuration comes from: the CA, discovery, certificate signing, metrics and debug pages. Configuration
// and callers are brought to it. On the control thread.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/admin/server.h"
#include "common/net/timer.h"
#include "common/tls/session.h"
#include "controlplane/ca/callers.h"
#include "controlplane/ca/issuer.h"
#include "controlplane/ca/root.h"
#include "controlplane/ca/service.h"
#include "controlplane/debug.h"
#include "controlplane/debug_service.h"
#include "controlplane/mesh.h"
#include "controlplane/settings.h"
#include "controlplane/xds/service.h"

namespace culvert::controlplane {

struct Absent;

class Serving {
 public:
  Serving(net::Loop& loop, const Settings& settings, const settings::Table& table);

  // Metrics and debug pages. Not ready yet.
  Status begin();
  // The CA, when it is found and each time that it may be another. Fails when we cannot begin with it; a later one that cannot be used is logged, and the
  // one of before stays.
  Status take(Ca ca);
  // What signed before this process, and where it is written down: before take().
  void remember(PastRoots past, std::function<void(std::string)> keep) { issuer_.remember(std::move(past), std::move(keep)); }
  // Workloads' certificates are signed elsewhere; ours goes on to sign those of our own servers. Before open().
  void sign_by(std::unique_ptr<Signer> signer);
  // What data planes are to trust, each time that this is another.
  void on_roots(std::function<void()> changed) { roots_changed_ = std::move(changed); }
  // The door to proxies: once the CA and the configuration are here, whole. `callers` tells who they are.
  Status open(std::unique_ptr<Callers> callers);
  bool opened() const { return server_ != nullptr; }

  // One step of the source of configuration.
  void apply(const config::Diff& diff);

  // Told the objects whose doubts come out different.
  void on_doubts(std::function<void(const std::vector<config::Key>& objects)> doubted) { mesh_.on_doubts(std::move(doubted)); }

  telemetry::Registry& registry() { return registry_; }
  const derive::Objects& objects() const { return mesh_.store().objects(); }
  const Issuer& issuer() const { return issuer_; }
  const std::string& roots_pem() const { return roots_pem_; }
  const derive::Settings& mesh_settings() const { return mesh_.deriver().settings(); }
  const derive::Tally& tally() const { return mesh_.deriver().tally(); }
  XdsService& xds() { return xds_; }
  // Ends the streams whose caller could not prove itself now. Of those by token `still` says so.
  void check_streams(const std::function<bool(const rpc::ServerCall& call, const std::string& node)>& still);
  std::uint16_t port() const { return server_->port(); }
  // Our own certificate for other servers of ours, as it is now.
  Result<tls::Context> server_context() const;
  // What /ready says while it is not open: what is waited for.
  void waiting_for(std::function<std::string()> why) { waiting_ = std::move(why); }
  // How to make sure that the source's last change of an object (of anything, where it can be told) has come. Fails when that cannot be told.
  using CatchUp = std::function<net::Task<Status>(std::optional<config::Key> object)>;
  void catch_up_by(CatchUp catch_up) { catch_up_ = std::move(catch_up); }

 private:
  void begin(const rpc::CallRef& call);
  void proved(const rpc::CallRef& call, const Result<Caller>& caller);
  Result<Caller> by_certificate(const rpc::ServerCall& call) const;
  void admit(rpc::CallRef call, const Caller& caller);
  void observe_connections();
  void note_unproved(const Endpoint& peer, std::string_view path, const std::string& why);
  Status begin_certificate();
  void follow_trust_domain();
  Status publish_roots();
  void publish_roots_again();
  void ca_changed(const Overlap::Change& change);
  void renew_certificate();
  void tend();
  Status serve_pages();
  net::Task<http::Response> epochs(http::Request request);
  Absent absent() const;
  net::Task<std::optional<http::Response>> may_debug(http::Request request, Endpoint peer);
  net::Task<Result<Caller>> prove(std::string authorization, Endpoint peer);

  net::Loop& loop_;
  const Settings& settings_;
  const settings::Table& table_;
  telemetry::Registry registry_;
  Issuer issuer_;
  std::unique_ptr<Signer> elsewhere_;
  std::string roots_pem_;  // what is published
  std::function<void()> roots_changed_;
  std::optional<tls::Certificate> certificate_;  // the server's, as it stands on disk
  Mesh mesh_;
  XdsService xds_;
  std::string trust_domain_;  // of certificates
  CaService certificates_;
  telemetry::Counter& unproved_;
  Quiet quiet_;
  net::Timer renewal_;
  std::unique_ptr<Callers> callers_;
  std::function<std::string()> waiting_;
  CatchUp catch_up_;
  const std::string instance_;
  const net::Clock::time_point began_ = net::Clock::now();
  std::vector<DebugPage> debug_;
  DebugService debug_service_;
  admin::Server admin_;
  std::unique_ptr<rpc::CallServer> server_;
};

}  // namespace culvert::controlplane
