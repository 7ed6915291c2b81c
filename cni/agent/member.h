#pragma once
// The life of one pod on this node, from the moment that it is to be enrolled until nothing of it is left: walks the plan (plan.h) for what is
// wanted of it now, again from the beginning when that changes or a step fails. One loop's thread.

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "bpf/loader/datapath.h"
#include "cni/agent/cluster.h"
#include "cni/agent/enrol.h"
#include "cni/agent/health.h"
#include "cni/agent/plan.h"
#include "cni/agent/sandboxes.h"
#include "cni/agent/settings.h"
#include "cni/agent/zds_endpoint.h"
#include "cni/redirect/redirect.h"
#include "common/base/fd.h"
#include "common/config/object.h"
#include "common/net/event.h"
#include "common/net/loop.h"

namespace culvert::agent {

class Member;

// What every member of a node shares. Outlives them.
struct Surroundings {
  net::Loop& loop;
  const Settings& settings;
  bpf::Datapath& datapath;
  ZdsEndpoint& zds;
  Cluster& cluster;
  Sandboxes& sandboxes;
  Health& health;
  std::uint64_t& missed;                 // how many were brought in that had run outside
  std::function<bool()> active;          // whether the programs of this version are in force
  std::function<void()> settled;         // a member has got as far as it can without them, or is gone
  std::function<Status()> refill_slots;  // puts the listeners of every connected ztunnel into their slots
  // A member has a network namespace from now on. Tells whether the kernel captures that already; an error refuses it.
  std::function<Result<bool>(Member&, std::uint64_t cookie)> claim;
  std::function<void(std::uint64_t cookie)> abandon;  // it has it no longer, and processes may live in it
};

class Member : public std::enable_shared_from_this<Member> {
 public:
  enum class State : std::uint8_t { kJoining, kEnrolled, kLeaving, kGone };

  // `captured`: what the kernel captures of this pod already, for an agent before us.
  Member(Surroundings& surroundings, std::string uid, std::optional<bpf::Captured> captured);

  // What is wanted of it now. The first call begins its life. `late`: it was to be in the mesh from its start, and was not.
  void wish(std::shared_ptr<const config::Pod> pod, Decision decision, bool late = false);
  void pod_deleted();
  // Another member has its network namespace now: what the kernel holds is that one's. Only when the pod is deleted.
  void hand_over();
  // Its namespace may have come, gone or changed, its slots may have emptied: looks, and acts when that is so.
  void look();
  void wake() { changed_.notify_all(); }

  // From ztunnel.
  void acknowledged(std::string_view error);
  void taken();

  State state() const { return state_; }
  // Nothing that an upgrade of the kernel programs has to wait for.
  bool ready_for_activation() const {
    return step_ == Step::kAwaitActive || step_ == Step::kAwaitNetns || state_ == State::kEnrolled || state_ == State::kGone;
  }
  bool captured() const { return captured_; }
  bool pod_exists() const { return pod_exists_; }
  std::uint64_t netns_cookie() const { return cookie_; }
  std::uint64_t netns_inode() const { return inode_; }
  const std::string& uid() const { return uid_; }
  const std::string& pod_name() const { return name_; }  // "shop/web-0"
  Step step() const { return step_; }
  // Everything of this network namespace that is to be captured is: the pod may start in it.
  bool serves(std::uint64_t inode) const {
    return captured_ && inode_ == inode && (state_ == State::kJoining || state_ == State::kEnrolled) && step_ == Step::kPublish;
  }
  // Resumes when it has got further, or a step has failed, or the time is over.
  net::Task<> progress(net::Clock::duration limit);
  const std::string& error() const { return error_; }  // of the last step that failed, empty when all is well

 private:
  static net::Task<> live(std::shared_ptr<Member> self);
  net::Task<Status> walk(std::uint64_t version);
  // A step of the plan, and what the steps do (member_steps.cc). What waits gives up when `version` is no longer what is wanted.
  net::Task<Status> run(Step step, std::uint64_t version);
  net::Task<Status> tell_ztunnel(std::uint64_t version);
  net::Task<Status> take_from_ztunnel(std::uint64_t version);
  using Counted = std::size_t redirect::MarkedSockets::*;
  net::Task<Status> await_sockets(Counted which, net::Clock::duration patience, net::Clock::duration quiet,
                                  std::uint64_t version);
  net::Task<Status> await_netns(std::uint64_t version);

  // Changes of the namespace's addresses. Its socket keeps the namespace alive, so it ends before we let go of that.
  struct AddressEvents;
  static net::Task<> follow_addresses(std::shared_ptr<Member> self, std::shared_ptr<AddressEvents> events);
  Status watch_addresses();
  void release_netns();

  void fail(const Error& error);
  void succeed();
  void note_missing_netns();
  void tell_enrolled();
  Status open_netns();
  Status let_probes_in();
  void abandon_netns();
  bool netns_alive() const;
  Status prepare();
  Status set_addresses();
  Status refresh();
  Status fill_slots();
  bool slots_filled() const;
  net::Task<Status> publish(Redirection redirection);
  zds::Pod zds_pod() const;
  void change();
  bool settled() const { return step_ == Step::kPublish && error_.empty(); }

  Surroundings& around_;
  std::string uid_;
  std::string name_;
  std::shared_ptr<const config::Pod> pod_;
  Decision decision_;
  bool pod_exists_ = true;

  std::shared_ptr<const Fd> netns_;
  std::uint64_t path_inode_ = 0;  // the pod's namespace when it was last looked for; 0: there was none
  std::uint64_t inode_ = 0;       // of the namespace that is the pod's
  std::uint64_t cookie_ = 0;      // its other name; 0: there is nothing of it in the kernel
  bool too_many_addresses_ = false;
  std::shared_ptr<AddressEvents> addresses_;

  State state_ = State::kJoining;
  Step step_ = Step::kPrepare;
  std::string error_;
  bool captured_;
  std::optional<std::string> answer_;  // ztunnel's, to the last Add
  bool taken_ = false;
  std::uint64_t version_ = 0;  // of what is wanted
  net::Event changed_;
  net::Event progress_;
  bool late_ = false;      // it ran outside before it joined, although nothing has changed that would have it join now
  std::string told_ = {};  // the last failure that people heard of
};

}  // namespace culvert::agent
