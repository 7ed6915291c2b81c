#pragma once
// This node: its pods out of the configuration, the kernel programs, the ztunnels. One loop's thread.
//
//   auto node = Node::open(loop, settings, cluster, sandboxes);   loads the programs (of an agent before us: stay in force), opens the ZDS socket
//   node->apply(diff)     each change of the configuration; the first holds everything
//   node->begin()         after the first: puts our programs in force; of an earlier version's, when its pods are whole
//   node->answer(...)     what the CNI plugin asks, at any time
//
// What the kernel captures stays captured until a pod's own object says otherwise or the kernel has ended the network namespace. A file that
// cannot be read, a path that leads nowhere, an API server that is away, an object that is gone: none of these releases a pod that may still run.

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bpf/loader/datapath.h"
#include "cni/agent/cluster.h"
#include "cni/agent/health.h"
#include "cni/agent/member.h"
#include "cni/agent/sandboxes.h"
#include "cni/agent/settings.h"
#include "cni/agent/zds_endpoint.h"
#include "cni/ask/messages.h"
#include "common/config/folder.h"
#include "common/net/event.h"
#include "common/net/loop.h"
#include "common/net/timer.h"

namespace culvert::agent {

class Node {
 public:
  // All of them outlive the node.
  static Result<std::unique_ptr<Node>> open(net::Loop& loop, const Settings& settings, Cluster& cluster, Sandboxes& sandboxes);
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  void apply(const config::Diff& diff);
  void begin();
  // Of a pod that starts, ends or is checked; `netns` is its network namespace, when that came along.
  net::Task<ask::Answer> answer(ask::Question question, Fd netns);

  // The mesh leaves this node: takes every pod out, as if its label had gone, until none is captured any more or the time is over. True when none is.
  net::Task<bool> leave(net::Clock::duration patience);
  // The socket of ztunnels, at the very end.
  void unlink_socket() const { zds_->unlink(); }

  // What people and Prometheus see.
  struct PodView {
    std::string name, uid, verdict, why, state, step, error;
    std::uint64_t netns_cookie = 0;
  };
  std::vector<PodView> pods() const;  // of this node, enrolled or not, by name
  std::vector<bpf::Counter> counters() const;
  std::size_t ztunnels() const { return zds_->ztunnels().size(); }
  const std::map<std::pair<ask::Verb, ask::Verdict>, std::uint64_t>& answers() const { return answers_; }  // to the CNI plugin
  std::size_t strangers() const { return strangers_.size(); }
  std::uint64_t missed() const { return missed_; }  // pods that ran outside until they were found
  std::size_t exempt_cgroups() const;               // as the kernel has them
  bool begun() const { return begun_; }
  bool active() const { return active_; }
  Health& health() { return health_; }
  const Health& health() const { return health_; }

 private:
  struct Known {  // a pod of this node
    std::shared_ptr<const config::Pod> pod;
    std::optional<Decision> decision;
    std::string uid;
    bool asked = false;  // its labels, or those of its namespace, have asked for the mesh since it was first seen
  };

  Node(net::Loop& loop, const Settings& settings, Cluster& cluster, Sandboxes& sandboxes, bpf::Datapath datapath);

  Status listen();
  void put_pod(const config::Key& key, const config::ObjectPtr& object);
  void pod_gone(const config::Key& key);
  Known* known_as(const ask::Question& question);
  net::Task<Status> look_at(const ask::Question& question);
  net::Task<ask::Answer> add(ask::Question question, Fd netns);
  net::Task<ask::Answer> await_member(ask::Question question, std::uint64_t inode);
  void del(const ask::Question& question, std::uint64_t inode);
  ask::Answer check(const ask::Question& question, std::uint64_t inode);
  void find_missed();
  void reconcile(Known& known);
  void note(Known& known, const Decision& decision);
  void unsay(const config::Pod& pod);
  std::shared_ptr<Member> member(const std::string& uid) const;
  std::optional<bpf::Captured> stranger_of(const config::Pod& pod) const;
  Result<bool> claim(Member& member, std::uint64_t cookie);
  void forget_strangers();
  bool whole() const;
  void activate();
  void tick();
  void find_kubelet();
  std::vector<std::filesystem::path> kubelet_folders();
  void note_missing_ztunnel();
  void note_foreign_kubelet(const std::string& trouble);

  Status ztunnel_arrived(pid_t pid);
  void ztunnel_synchronised(pid_t pid);
  void ztunnel_left();
  Status exempt();
  void find_exempt();
  void expel_ended_ztunnels();
  Status refill_slots();
  void give_slots_to(pid_t ztunnel);

  net::Loop& loop_;
  const Settings& settings_;
  Rules rules_;
  Cluster& cluster_;
  Sandboxes& sandboxes_;
  bpf::Datapath datapath_;
  Health health_;
  std::unique_ptr<ZdsEndpoint> zds_;
  std::unique_ptr<Surroundings> around_;
  net::Timer timer_;

  std::map<std::string, std::shared_ptr<const config::Namespace>> namespaces_;
  std::map<config::Key, Known> pods_;
  std::map<std::string, std::shared_ptr<Member>> members_;  // by uid
  std::map<std::uint64_t, std::uint64_t> strangers_;        // captured, and no member's: cookie -> inode of the namespace
  std::set<std::uint64_t> node_cookies_;                    // network namespaces of the node itself
  // Cgroups of ztunnels, until nobody lives in them: id -> folder. Empty: an agent before us has exempted it, and it is not found yet.
  std::map<std::uint64_t, std::filesystem::path> exempt_;
  std::vector<std::uint64_t> kubelet_;
  std::string kubelet_trouble_;
  net::Clock::time_point kubelet_due_{};
  std::map<std::pair<ask::Verb, ask::Verdict>, std::uint64_t> answers_;
  net::Clock::time_point patience_;  // when our programs come into force even if a captured pod is not whole
  std::uint64_t missed_ = 0;
  bool ztunnel_missing_ = false;
  net::Event begun_signal_;
  bool begun_ = false;
  bool active_ = false;
};

}  // namespace culvert::agent
