#pragma once
// The kernel side of the data path, as the node agent drives it: BPF programs, their maps and where they are attached
// (datapath.md §1). Only culvert-node uses this, and only this uses libbpf.
//
// Everything in force is pinned below `pin_dir`, so that an agent can end and start again, in this version or in another, without
// interrupting one connection:
//   PIN_DIR/vN/MAP       the maps of ABI version N; an agent of version N takes them over as they are
//   PIN_DIR/shared-vM/MAP  those that agents of all versions share: which probes of the kubelet are under way, which cgroups are
//                        ztunnels' and where these listen, what pods' sysctls were before. M is the version of their layout alone; one
//                        that has another makes its own
//   PIN_DIR/links/NAME   connect4-vN, connect6-vN, sockops-vN: one set for the node; pod-COOKIE: one for each captured pod, given
//                        a new program and not detached before the pod leaves
// Destroying a Datapath closes descriptors and nothing else.
//
// Use: load(); exempt and kubelet cgroups; activate(). Unless fresh(): then for each pod that known_pods() names first set_own_addresses(),
// set_probe_ports(), refill_listeners(), attach_lookup() and enrol(), so that activate() puts whole pods in force. After it pods come and go, and those of
// known_pods() whose namespace has ended are forgotten. Each step may be repeated. Until activate() has returned, the programs of a
// predecessor stay in force with their own maps, those of each pod as well; a ztunnel that comes meanwhile is theirs at once, too.
//
// One thread at a time. Every call is a few system calls and does not wait for anything, but loading verifies programs (~10 ms each).

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bpf/include/culvert_abi.h"
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

// A pod that a map or a link of ours names.
struct Captured {
  std::uint64_t netns_cookie = 0;
  std::uint64_t netns_inode =
      0;  // its network namespace, as stat() of /proc/PID/ns/net tells; 0: that has ended, or nothing is attached
};

// Which slots a walk over ztunnel's sockets fills.
enum class Refill : std::uint8_t {
  kEmpty,    // those that are empty
  kReplace,  // all: the process that is walked over gets them from others
};

// Which of ztunnel's listeners the kernel holds for a pod, by the family that they take. A dual-stack socket stands under both.
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

  // True when the programs in force, if any, are not those that use our maps: this is a new node, or an upgrade.
  bool fresh() const;
  const std::filesystem::path& cgroup_root() const;
  std::uint64_t host_netns_cookie() const;

  // ztunnel's cgroups, all of them: what is not named here is not exempt. Processes in and below them are never captured, their
  // listeners become slots. Refuses the root cgroup, which would exempt everybody. Each must be ztunnel's alone.
  Status set_exempt_cgroups(std::span<const std::uint64_t> ids);
  // Those that are exempt now; after load(), what an agent before us has set.
  Result<std::vector<std::uint64_t>> exempt_cgroups() const;
  // The kubelet's cgroups: their connections from the host namespace reach pods without ztunnel, where set_probe_ports() lets them. Exact, children do
  // not count.
  Status set_kubelet_cgroups(std::span<const std::uint64_t> ids);

  // All addresses of the pod's namespace (redirect::own_addresses). Additions take effect before removals.
  Status set_own_addresses(std::uint64_t netns_cookie, std::span<const IpAddress> addresses);
  // The ports at which the kubelet reaches the pod without ztunnel. Additions take effect before removals.
  Status set_probe_ports(std::uint64_t netns_cookie, std::span<const std::uint16_t> ports);
  // Attaches sk_lookup to the pod's namespace, or swaps its program: from now on ztunnel gets what others send to the pod. A
  // predecessor's program of another version stays until activate().
  // Fails when another's sk_lookup program is attached there in a way that excludes ours.
  Status attach_lookup(int netns, const Pod& pod);
  // From now on what the pod's applications dial goes to ztunnel, or is refused when it does not listen. The last step.
  Status enrol(const Pod& pod);

  // What the sysctls of the pod's namespace were before an agent changed them. Known to agents of every version, until forget().
  Status note_sysctls(std::uint64_t netns_cookie, const culvert_sysctls& before) const;
  Result<std::optional<culvert_sysctls>> noted_sysctls(std::uint64_t netns_cookie) const;

  // The way back, in this order: no new outbound capture; no steering; no trace. Each succeeds when there is nothing to do.
  Status withdraw(std::uint64_t netns_cookie);
  Status detach_lookup(std::uint64_t netns_cookie);
  Status forget(std::uint64_t netns_cookie);

  // Every pod that a map or a link of ours names.
  Result<std::vector<Captured>> known_pods() const;
  // The inode of the namespace that a pod's sk_lookup is attached to; 0 exactly when that has ended, or nothing is attached.
  Result<std::uint64_t> netns_inode(std::uint64_t netns_cookie) const;

  // Puts the listeners (TCP) and DNS sockets (UDP) that processes of exempt cgroups hold into their slots, for every pod at once.
  // `only` spares a walk over all processes when ztunnel's pid is known. Sockops fills TCP slots at listen(); call this for the rest:
  // after an agent start, after each ZDS acknowledgement, at each ZDS disconnect. Sees processes of our own PID namespace.
  Status refill_listeners(pid_t only = 0, Refill which = Refill::kEmpty);
  Result<Slots> slots(std::uint64_t netns_cookie) const;

  // Puts connect, sockops and the pods' sk_lookup in force, then takes the predecessor's away. What it captured stays captured: a pod
  // that nobody has enrolled with us is refused what it dials and what is sent to it.
  Status activate();

  Result<std::vector<Counter>> counters() const;

  // Detaches everything that is pinned there, of any version, and removes it. Succeeds when there is nothing.
  static Status unload(const std::filesystem::path& pin_dir);
  // The pods that a link there names, and what the sysctls of one were; none when it does not exist.
  static Result<std::vector<Captured>> pinned_pods(const std::filesystem::path& pin_dir);
  static Result<std::optional<culvert_sysctls>> pinned_sysctls(const std::filesystem::path& pin_dir, std::uint64_t netns_cookie);

 private:
  Result<int> load_lookup(const Pod& pod);
  Status prepare_captured();
  struct State;
  explicit Datapath(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace culvert::bpf
