/* The kernel border: the one header that the BPF programs (C) and the node agent (C++) both include.
 *
 * Every map key and value, every mark, port and counter that both sides know is defined here and nowhere else. Layouts are asserted
 * below for both languages and compared with the object's BTF by tests/bpf. Whoever changes a layout or a meaning here raises
 * CULVERT_ABI_VERSION: an agent reuses pinned maps of its own version only, and swaps to new ones otherwise. Two versions are in force at
 * once for a moment; what both have to know then is shared, under a version of its own.
 *
 * Byte order: ports and addresses are in network order, as packets carry them. Addresses are 16 bytes; IPv4 uses the first 4,
 * the rest is zero. An IPv4-mapped IPv6 address is always written as IPv4. */
#ifndef CULVERT_ABI_H
#define CULVERT_ABI_H

#include <linux/types.h>

#ifndef CULVERT_ABI_VERSION /* tests build everything a second time as another version */
#define CULVERT_ABI_VERSION 5
#endif

/* The layout and meaning of the maps that agents of all versions share (marked "shared" below). It changes rarely: an agent whose shared
 * maps have another version has some of its own: its predecessor's probes that are under way at that moment meet ztunnel, and the sysctls of
 * its predecessor's pods become the kernel's defaults when they leave. */
#define CULVERT_SHARED_ABI_VERSION 1

#ifdef __cplusplus
#define CULVERT_ASSERT static_assert
#else
#define CULVERT_ASSERT _Static_assert
#endif
#define CULVERT_LAYOUT(type, size) CULVERT_ASSERT(sizeof(type) == (size), #type " changed: raise CULVERT_ABI_VERSION")
#define CULVERT_SHARED_LAYOUT(type, size) \
  CULVERT_ASSERT(sizeof(type) == (size), #type " changed: raise CULVERT_SHARED_ABI_VERSION")

/* Socket marks. The pod's rule matches CAPTURED and IN_POD with one mask, and EGRESS not (cni/redirect). A mark routes; it never
 * exempts: that is a matter of ztunnel's cgroup alone. */
enum culvert_mark {
  CULVERT_MARK_EGRESS = 0x715,   /* ztunnel: listeners and connections that leave the pod */
  CULVERT_MARK_CAPTURED = 0x716, /* an application's socket, set by the connect hook: turned around on lo */
  CULVERT_MARK_IN_POD = 0x717,   /* ztunnel -> application inside the pod, and the application's answers */
  CULVERT_MARK_MASK = 0xffe,     /* with CULVERT_MARK_CAPTURED: matches 0x716 and 0x717 */
};

/* ztunnel's ports in the pod (host order), as Istio's. */
enum culvert_port {
  CULVERT_PORT_OUTBOUND = 15001, /* what applications of the pod dial */
  CULVERT_PORT_INBOUND = 15006,  /* plaintext that others send to the pod */
  CULVERT_PORT_HBONE = 15008,    /* tunnels; never steered, a listener like any other */
  CULVERT_PORT_DNS = 15053,      /* DNS of the pod, UDP and TCP */
};

/* pods: which network namespaces are captured (HASH). Written by the agent last when it enrols, deleted first when it removes. */
enum culvert_pod_flag {
  CULVERT_POD_DNS = 1, /* TCP to port 53 goes to CULVERT_PORT_DNS */
};
struct culvert_pod_key {
  __u64 netns_cookie;
};
struct culvert_pod {
  __u32 flags; /* enum culvert_pod_flag */
  __u32 pad;
};
CULVERT_SHARED_LAYOUT(struct culvert_pod_key, 8);
CULVERT_LAYOUT(struct culvert_pod, 8);

struct culvert_address {
  __u8 bytes[16];
};
CULVERT_LAYOUT(struct culvert_address, 16);

/* own_addresses: every address of a pod's namespace, link-local and secondary ones included (HASH, value: present). The agent
 * keeps it current. */
struct culvert_own_key {
  __u64 netns_cookie;
  struct culvert_address address;
  __u8 family; /* AF_INET or AF_INET6 */
  __u8 pad[7];
};
CULVERT_LAYOUT(struct culvert_own_key, 32);

/* listeners: which of ztunnel's sockets takes a pod's connection (SOCKHASH, value: socket cookie when user space reads). Written by
 * sockops at listen() and by the iterator, read by sk_lookup and the connect hooks, emptied by the kernel when the socket closes.
 * A dual-stack socket stands under both families. Shared, and so is exempt_cgroups: a ztunnel that comes or goes while one version waits to
 * take over is told to the waiting agent alone, and the programs in force are still the other's. */
struct culvert_listener_key {
  __u64 netns_cookie;
  __be16 port;
  __u8 family;
  __u8 protocol; /* IPPROTO_TCP or IPPROTO_UDP */
  __u32 pad;
};
CULVERT_SHARED_LAYOUT(struct culvert_listener_key, 16);

/* exempt_cgroups: ztunnel's, one for each that runs; their processes are never captured and their listeners are the slots (HASH).
 * Children of such a cgroup count as it. Shared. kubelet_cgroups: the kubelet's own leaf; exact (HASH). */
struct culvert_cgroup_key {
  __u64 id; /* inode number of the cgroup2 folder */
};
CULVERT_SHARED_LAYOUT(struct culvert_cgroup_key, 8);

/* probes: live connections of the kubelet, registered before their SYN leaves the host, dropped when they close (LRU_HASH). Shared, and so
 * is kubelet_sockets, from which they come: while one version takes over from another, a connection may be noted by the one's connect
 * hook, registered and dropped by either's sockops and looked up by the other's sk_lookup. */
struct culvert_flow_key {
  struct culvert_address source;
  struct culvert_address destination;
  __be16 source_port;
  __be16 destination_port;
  __u8 family;
  __u8 pad[3];
};
CULVERT_SHARED_LAYOUT(struct culvert_flow_key, 40);

/* probe_ports: where the kubelet reaches a pod past ztunnel: the ports that the pod's own probes and lifecycle handlers name (HASH, value: present).
 * A pod's object can have the kubelet dial anybody; what it dials elsewhere goes where everybody else's does. */
struct culvert_probe_port_key {
  __u64 netns_cookie; /* of the pod that is dialled */
  __be16 port;
  __u8 pad[6];
};
CULVERT_LAYOUT(struct culvert_probe_port_key, 16);

/* pod_sysctls: what an agent changes in a pod's network namespace, as it was before (HASH, by culvert_pod_key). Shared. No program reads
 * it: it is a map because maps outlive the agent. */
struct culvert_sysctls {
  __u8 tcp_fwmark_accept;
  __u8 fwmark_reflect_v4;
  __u8 fwmark_reflect_v6;
  __u8 tcp_migrate_req; /* agents before this field left 0 here, which is what the kernel begins with */
};
CULVERT_SHARED_LAYOUT(struct culvert_sysctls, 4);

/* Value of the maps that are sets, shared ones among them. */
struct culvert_present {
  __u32 present; /* always 1 */
};
CULVERT_SHARED_LAYOUT(struct culvert_present, 4);

/* Every way out of every program, counted per CPU (PERCPU_ARRAY, __u64). X(NAME, program, exit, help): the two strings are the
 * labels of culvert_bpf_events_total. */
#define CULVERT_COUNTERS(X)                                                                                                   \
  X(CONNECT_OUTSIDE, "connect", "outside", "the caller's namespace is not enrolled")                                          \
  X(CONNECT_KUBELET, "connect", "kubelet", "a connection of the kubelet was noted, its SYN will be registered")               \
  X(CONNECT_KUBELET_LOST, "connect", "kubelet_lost", "a connection of the kubelet could not be noted: the probe is captured") \
  X(CONNECT_NOT_TCP, "connect", "not_tcp", "connect() of a socket that is not TCP")                                           \
  X(CONNECT_EXEMPT, "connect", "exempt", "the caller is ztunnel")                                                             \
  X(CONNECT_OWN, "connect", "own", "to loopback or to an own address of the pod")                                             \
  X(CONNECT_CAPTURED, "connect", "captured", "sent to ztunnel")                                                               \
  X(CONNECT_REFUSED, "connect", "refused", "refused because ztunnel does not listen in the pod")                              \
  X(CONNECT_MARK_FAILED, "connect", "mark_failed", "refused because the socket could not be marked")                          \
  X(SOCKOPS_OTHER, "sockops", "other", "a TCP event that we have no interest in")                                             \
  X(SOCKOPS_PROBE, "sockops", "probe", "a probe of the kubelet was registered")                                               \
  X(SOCKOPS_PROBE_LOST, "sockops", "probe_lost", "a probe of the kubelet could not be registered: it is captured")            \
  X(SOCKOPS_PROBE_CLOSED, "sockops", "probe_closed", "a probe of the kubelet ended")                                          \
  X(SOCKOPS_LISTENER, "sockops", "listener", "a listener of ztunnel was put into its slot")                                   \
  X(SOCKOPS_LISTENER_LOST, "sockops", "listener_lost", "a listener of ztunnel could not be put into its slot")                \
  X(LOOKUP_LOCAL, "lookup", "local", "to loopback, or between own addresses")                                                 \
  X(LOOKUP_UDP, "lookup", "udp", "UDP other than captured DNS")                                                               \
  X(LOOKUP_DNS_UDP, "lookup", "dns_udp", "a DNS query over UDP, given to ztunnel")                                            \
  X(LOOKUP_DNS_TCP, "lookup", "dns_tcp", "a DNS connection, given to ztunnel")                                                \
  X(LOOKUP_OUTBOUND, "lookup", "outbound", "an outbound connection, given to ztunnel")                                        \
  X(LOOKUP_IN_POD, "lookup", "in_pod", "ztunnel's connection to the application")                                             \
  X(LOOKUP_STRAY, "lookup", "stray", "dropped: came over lo and neither end is a known address of the pod")                   \
  X(LOOKUP_PROBE, "lookup", "probe", "a registered probe of the kubelet, passed to the application")                          \
  X(LOOKUP_NOT_PROBED, "lookup", "not_probed", "the kubelet's, to a port that no probe of the pod names: given to ztunnel")   \
  X(LOOKUP_HBONE, "lookup", "hbone", "a tunnel, passed to ztunnel's own port")                                                \
  X(LOOKUP_INBOUND, "lookup", "inbound", "an inbound plaintext connection, given to ztunnel")                                 \
  X(LOOKUP_NO_LISTENER, "lookup", "no_listener", "dropped because ztunnel does not listen in the pod")                        \
  X(LOOKUP_ASSIGN_FAILED, "lookup", "assign_failed", "dropped because the listener does not take it (family?)")               \
  X(ITER_SLOT, "iter", "slot", "a socket of ztunnel was put into its slot by the iterator")                                   \
  X(ITER_SLOT_LOST, "iter", "slot_lost", "a socket of ztunnel could not be put into its slot by the iterator")                \
  X(ITER_OTHER, "iter", "other", "a file that is no listener of ztunnel")

enum culvert_counter {
#define CULVERT_COUNTER_ENUM(NAME, program, exit, help) CULVERT_##NAME,
  CULVERT_COUNTERS(CULVERT_COUNTER_ENUM)
#undef CULVERT_COUNTER_ENUM
      CULVERT_COUNTER_COUNT
};

/* Sizes of the maps; of a shared one it is part of the layout. A node has at most some hundreds of pods. */
enum culvert_limit {
  CULVERT_MAX_PODS = 4096,
  CULVERT_MAX_OWN_ADDRESSES = 65536,
  CULVERT_MAX_LISTENERS = 65536,
  CULVERT_MAX_CGROUPS = 64,
  CULVERT_MAX_PROBES = 16384,
  CULVERT_MAX_PROBE_PORTS = 65536,
};

/* In every object's read-only data: what it was built for. It also brings the enums above into the object's BTF, for the tests. */
struct culvert_abi {
  __u32 version;
  enum culvert_counter counters; /* how many */
  enum culvert_mark mark_mask;
  enum culvert_port first_port;
  enum culvert_pod_flag pod_flags;
  enum culvert_limit pods;
};
CULVERT_LAYOUT(struct culvert_abi, 24);

#endif
