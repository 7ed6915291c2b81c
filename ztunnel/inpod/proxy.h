#pragma once
// The proxy of one pod on one worker: its listeners inside the pod's network namespace, each in a SO_REUSEPORT group with those of the
// other workers, and what is done with each connection. One thread: the worker's.

#include <memory>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/net/listener.h"
#include "ztunnel/dns/proxy.h"
#include "ztunnel/worker/worker.h"

namespace culvert::ztunnel {

class Proxy {
 public:
  // Everything listens when this returns. Fails with nothing left open.
  static Result<std::unique_ptr<Proxy>> start(Worker& worker, zds::Pod name, Netns netns, std::shared_ptr<dns::Load> dns_load);
  ~Proxy();
  Proxy(const Proxy&) = delete;

  const Pod& pod() const { return *pod_; }
  void stop_accepting();
  std::size_t dns_under_way() const;
  // Ends every connection of the pod with `reason`.
  void stop(Reason reason);

 private:
  using Carry = net::Task<> (*)(Worker&, std::shared_ptr<Pod>, net::Stream);
  Proxy(Worker& worker, std::shared_ptr<Pod> pod, std::shared_ptr<dns::Load> dns_load)
      : worker_(worker), pod_(std::move(pod)), dns_load_(std::move(dns_load)) {}
  Status listen(const IpAddress& any);
  Status listen(const IpAddress& any, std::uint16_t port, Carry carry);
  Status listen_dns(const IpAddress& any);

  Worker& worker_;
  std::shared_ptr<Pod> pod_;
  const std::shared_ptr<dns::Load> dns_load_;  // of the worker
  std::vector<std::shared_ptr<net::Listener>> listeners_;
  std::vector<std::unique_ptr<dns::Proxy>> dns_;
};

// All pods of one worker, by uid.
class Proxies {
 public:
  explicit Proxies(Worker& worker) : worker_(worker) {}

  Status start(const zds::Pod& name, const Netns& netns);  // replaces a proxy of the same uid
  void stop(const std::string& uid, Reason reason);        // without effect when there is none
  void stop_accepting();
  std::size_t dns_under_way() const;
  void stop_all(Reason reason);
  const std::map<std::string, std::unique_ptr<Proxy>>& all() const { return proxies_; }

 private:
  static constexpr std::size_t kMostDns = 4096;  // queries and connections of all pods

  Worker& worker_;
  const std::shared_ptr<dns::Load> dns_load_ = std::make_shared<dns::Load>(kMostDns);
  std::map<std::string, std::unique_ptr<Proxy>> proxies_;
};

}  // namespace culvert::ztunnel
