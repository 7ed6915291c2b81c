#pragma once
// The kernel side of the data path, as the node agent drives it: BPF programs, their maps and where they are attached
// (datapath.md §1). Only culvert-node uses this, and only this uses libbpf.
//
// Everything in force is pinned below `pin_dir`, so that an agent can end and start again, in this version or in another, without
// interrupting one connection:
//   PIN_DIR/vN/MAP       the maps of ABI version N; an agent of version N takes them over as they are
//   PIN_DIR/links/NAME   connect4, connect6, sockops, pod-COOKIE: never detached, only given a new program
// Destroying a Datapath closes descriptors and nothing else.
//
// Use: load(); exempt and kubelet cgroups; for each pod set_own_addresses(); refill_listeners(); for each pod attach_lookup() and
// enrol(); activate(); then forget the pods of known_pods() that are gone. On a fresh node, after an agent restart and
// for an upgrade to another ABI version it is the same order, and each step may be repeated. Until activate() has returned, the
// programs of a predecessor stay in force with their own maps.
//
// One thread at a time. Every call is a few system calls and does not wait for anything, but loading verifies programs (~10 ms each).

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/address.h"
#include "common/base/result.h"

namespace culvert::bpf {

struct Options {
  std::filesystem::path pin_dir;        // on a bpffs; made when missing
  std::filesystem::path cgroup_root;    // where connect and sockops attach; empty: the cgroup2 root in /proc/self/mountinfo
  std::uint64_t host_netns_cookie = 0;  // where the kubelet lives; 0: the calling thread's network namespace
};

// An enrolled pod, as the programs know it.
struct Pod {
  std::uint64_t netns_cookie = 0;
  bool dns_capture = false;
};

// Which of ztunnel's listeners the kernel holds for a pod. `v4` is also true for a dual-stack socket.
struct Slots {
  struct Slot {
    bool v4 = false, v6 = false;
  };
  Slot outbound, inbound, dns_tcp, dns_udp;
};

// One way out of one program. The strings live as long as the program.
struct Counter {
  std::string_view program, exit, help;
  std::uint64_t value = 0;
};

class Datapath {
 public:
  // Opens the maps of this ABI version (or makes and pins them) and loads the programs. Attaches nothing.
  // Fails when the kernel lacks something (says what), and without CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON.
  static Result<Datapath> load(const Options& options);
  Datapath(Datapath&&) noexcept;
  Datapath& operator=(Datapath&&) noexcept;
  ~Datapath();

  // True when no maps of this ABI version were pinned: this is a new node, or an upgrade.
  bool fresh() const;
  const std::filesystem::path& cgroup_root() const;

  // ztunnel's cgroups, all of them: what is not named here is not exempt. Processes in and below them are never captured, their
  // listeners become slots. Refuses the root cgroup, which would exempt everybody. Each must be ztunnel's alone.
  Status set_exempt_cgroups(std::span<const std::uint64_t> ids);
  // Those that are exempt now; after load(), what an agent before us of the same version has set.
  Result<std::vector<std::uint64_t>> exempt_cgroups() const;
  // The kubelet's cgroups: their connections from the host namespace reach pods without ztunnel. Exact, children do not count.
  Status set_kubelet_cgroups(std::span<const std::uint64_t> ids);

  // All addresses of the pod's namespace (redirect::own_addresses). Additions take effect before removals.
  Status set_own_addresses(std::uint64_t netns_cookie, std::span<const IpAddress> addresses);
  // Attaches sk_lookup to the pod's namespace, or swaps its program: from now on ztunnel gets what others send to the pod.
  // Fails when another's sk_lookup program is attached there in a way that excludes ours.
  Status attach_lookup(int netns, const Pod& pod);
  // From now on what the pod's applications dial goes to ztunnel, or is refused when it does not listen. The last step.
  Status enrol(const Pod& pod);

  // The way back, in this order: no new outbound capture; no steering; no trace. Each succeeds when there is nothing to do.
  Status withdraw(std::uint64_t netns_cookie);
  Status detach_lookup(std::uint64_t netns_cookie);
  Status forget(std::uint64_t netns_cookie);

  // Every pod that a map or a link of ours names.
  Result<std::vector<std::uint64_t>> known_pods() const;

  // Puts the listeners (TCP) and DNS sockets (UDP) that processes of exempt cgroups hold into their slots, for every pod at once.
  // `only` spares a walk over all processes when ztunnel's pid is known. Sockops fills TCP slots at listen(); call this for the rest:
  // after an agent start, after each ZDS acknowledgement, at each ZDS disconnect. Sees processes of our own PID namespace.
  Status refill_listeners(pid_t only = 0);
  Result<Slots> slots(std::uint64_t netns_cookie) const;

  // Puts connect and sockops in force, or swaps the predecessor's programs for ours, then deletes its maps.
  Status activate();

  Result<std::vector<Counter>> counters() const;

  // Detaches everything that is pinned there, of any version, and removes it. Succeeds when there is nothing.
  static Status unload(const std::filesystem::path& pin_dir);

 private:
  struct State;
  explicit Datapath(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace culvert::bpf
