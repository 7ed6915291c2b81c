#pragma once
// The program: one control thread (pods, configuration, certificates, admin pages, signals) and the workers that carry traffic.
// What they share are immutable snapshots; everything else is said by functions posted to the other's loop.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/net/event.h"
#include "common/net/loop.h"
#include "common/rpc/ca_client.h"
#include "ztunnel/config_dump.h"
#include "ztunnel/identity/certificates.h"
#include "ztunnel/identity/roots_file.h"
#include "ztunnel/inpod/agent.h"
#include "ztunnel/inpod/proxy.h"
#include "ztunnel/metrics.h"
#include "ztunnel/settings.h"
#include "ztunnel/state/state.h"

namespace culvert::ztunnel {

class App {
 public:
  // Both must outlive it.
  App(const Settings& settings, const settings::Table& table);
  ~App();
  App(const App&) = delete;

  // Until told to end and drained. Fails when it cannot start.
  Status run();

  // For the admin pages, on the control loop.
  net::Loop& loop() { return control_; }
  std::string not_ready() const;  // what is pending, empty when ready
  net::Task<std::string> metrics();
  net::Task<std::string> dump();
  void quit() { quit_.set(); }

 private:
  // A worker with its thread; what stands in it is touched on that thread alone.
  struct Lane {
    std::unique_ptr<net::LoopThread> thread;
    std::unique_ptr<Worker> worker;
    std::unique_ptr<Proxies> proxies;
  };

  Status start();
  void start_lanes();
  // One answer to /metrics, for all who asked while it was being made.
  struct Scrape {
    explicit Scrape(net::Loop& loop) : done(loop) {}
    std::string text;
    net::Event done;
  };
  net::Task<> scrape(std::shared_ptr<Scrape> answer);

  net::Task<> live(Status* outcome);
  net::Task<> drain();
  net::Task<Status> start_pod(zds::Client::Start start);
  // Waits for what the pod's first connection will need, a while at most: until its proxy runs, whatever served it before goes on.
  net::Task<> prepare(const zds::Pod& pod);
  bool prepared(const zds::Pod& pod) const;
  void stop_pod(const std::string& uid);
  void want_certificates();
  void told();  // it may have become ready

  // Asks every worker, on its thread, and collects the answers here.
  template <class T>
  net::Task<std::vector<T>> gather(std::function<T(Lane&)> ask);
  void on_each(const std::function<void(Lane&)>& act);

  const Settings& settings_;
  const settings::Table& table_;
  net::Loop control_;
  net::Event quit_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::unique_ptr<State> state_;
  std::shared_ptr<rpc::CaClient> ca_;
  std::unique_ptr<Certificates> certificates_;
  std::unique_ptr<RootsFile> roots_;
  std::unique_ptr<Agent> agent_;
  std::unique_ptr<class Pages> pages_;
  std::map<std::string, zds::Pod> pods_;     // whose proxies run, by uid
  std::map<std::string, zds::Pod> failing_;  // could not be started yet, tried again
  struct Starting {
    std::uint64_t number = 0;  // of the try
    zds::Pod pod;
  };
  std::map<std::string, Starting> starting_;
  std::uint64_t tries_ = 0, started_ = 0, stopped_ = 0;
  std::shared_ptr<Scrape> scrape_;
  Retired retired_;
  net::Event progress_;  // configuration or a certificate has come
  bool patient_ = true;  // what was waited for has come
  bool draining_ = false;
  bool was_ready_ = false;
};

}  // namespace culvert::ztunnel
