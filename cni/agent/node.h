#pragma once
// This node: its pods out of the configuration, the kernel programs, the ztunnels. One loop's thread.
//
//   auto node = Node::open(loop, settings);     loads the programs (of an agent before us: stay in force), opens the ZDS socket
//   node->apply(diff)                           each change of the configuration; the first holds everything
//   node->begin()                               after the first: forgets pods that are gone, puts our programs in force

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "bpf/loader/datapath.h"
#include "cni/agent/health.h"
#include "cni/agent/member.h"
#include "cni/agent/settings.h"
#include "cni/agent/status.h"
#include "cni/agent/zds_endpoint.h"
#include "common/config/folder.h"
#include "common/net/loop.h"
#include "common/net/timer.h"

namespace culvert::agent {

class Node {
 public:
  static Result<std::unique_ptr<Node>> open(net::Loop& loop, const Settings& settings);
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  void apply(const config::Diff& diff);
  void begin();

  // What people and Prometheus see.
  struct PodView {
    std::string name, uid, verdict, why, state, step, error;
    std::uint64_t netns_cookie = 0;
  };
  std::vector<PodView> pods() const;  // of this node, enrolled or not, by name
  std::vector<bpf::Counter> counters() const;
  std::size_t ztunnels() const { return zds_->ztunnels().size(); }
  bool active() const { return active_; }
  Health& health() { return health_; }
  const Health& health() const { return health_; }

 private:
  struct Known {  // a pod of this node
    std::shared_ptr<const config::Pod> pod;
    Decision decision;
    std::string uid;
  };

  Node(net::Loop& loop, const Settings& settings, bpf::Datapath datapath, StatusFolder status);

  Status listen();
  void put_pod(const config::Key& key, const config::ObjectPtr& object);
  void pod_gone(const config::Key& key);
  void reconcile(Known& known);
  std::shared_ptr<Member> member(const std::string& uid) const;
  bool captured_before(const config::Pod& pod) const;
  void forget_strangers();
  void activate();
  void tick();
  void find_kubelet();
  void note_missing_ztunnel();

  Status ztunnel_arrived(pid_t pid);
  void ztunnel_left(pid_t pid);
  Status exempt();
  Status refill_slots();

  net::Loop& loop_;
  const Settings& settings_;
  bpf::Datapath datapath_;
  StatusFolder status_;
  Health health_;
  std::unique_ptr<ZdsEndpoint> zds_;
  std::unique_ptr<Surroundings> around_;
  net::Timer timer_;

  std::map<std::string, std::shared_ptr<const config::Namespace>> namespaces_;
  std::map<config::Key, Known> pods_;
  std::map<std::string, std::shared_ptr<Member>> members_;  // by uid
  std::set<std::uint64_t> captured_before_;                 // cookies of pods that an agent before us captured
  std::map<pid_t, std::uint64_t> ztunnel_cgroups_;
  std::vector<std::uint64_t> exempt_before_;  // by an agent before us: its ztunnels may be on their way back to us
  net::Clock::time_point exempt_before_until_;
  std::vector<std::uint64_t> kubelet_;
  bool trustworthy_ = true;  // the configuration at start was read without a problem
  bool ztunnel_missing_ = false;
  bool begun_ = false;
  bool active_ = false;
};

}  // namespace culvert::agent
