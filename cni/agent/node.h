#pragma once
// This node: its pods out of the configuration, the kernel programs, the ztunnels. One loop's thread.
//
//   auto node = Node::open(loop, settings);     loads the programs (of an agent before us: stay in force), opens the ZDS socket
//   node->apply(diff)                           each change of the configuration; the first holds everything
//   node->begin()                               after the first: puts our programs in force; of an earlier version's, when its pods are whole
//
// What the kernel captures stays captured until a pod's own object says otherwise or the kernel has ended the network namespace. A file that
// cannot be read, a path that leads nowhere, an object that is gone: none of these releases a pod that may still run.

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
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
  std::size_t strangers() const { return strangers_.size(); }
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
  std::optional<bpf::Captured> stranger_of(const config::Pod& pod) const;
  Result<bool> claim(Member& member, std::uint64_t cookie);
  void forget_strangers();
  bool whole() const;
  void activate();
  void tick();
  void find_kubelet();
  void note_missing_ztunnel();
  void note_foreign_kubelet(const std::string& trouble);

  Status ztunnel_arrived(pid_t pid);
  void ztunnel_synchronised(pid_t pid);
  void ztunnel_left();
  Status exempt();
  void expel_ended_ztunnels();
  Status refill_slots();
  void give_slots_to(pid_t ztunnel);

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
  std::map<std::uint64_t, std::uint64_t> strangers_;        // captured, and no member's: cookie -> inode of the namespace
  std::set<std::uint64_t> node_cookies_;                    // network namespaces of the node itself
  std::set<std::uint64_t> exempt_;                          // cgroups of ztunnels, until nobody lives in them
  std::vector<std::uint64_t> kubelet_;
  std::string kubelet_trouble_;
  net::Clock::time_point patience_;  // when our programs come into force even if a captured pod is not whole
  bool ztunnel_missing_ = false;
  bool begun_ = false;
  bool active_ = false;
};

}  // namespace culvert::agent
