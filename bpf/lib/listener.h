/* ztunnel's listeners: finding one, and knowing which sockets may be one. */
#ifndef CULVERT_LISTENER_H
#define CULVERT_LISTENER_H

#include "bpf/lib/address.h"

#define IPPROTO_TCP 6
#define IPPROTO_UDP 17

/* More levels than any cgroup hierarchy of a node has; below it nobody is exempt. */
#define CULVERT_CGROUP_DEPTH 16

static __always_inline struct culvert_listener_key listener_key(__u64 netns_cookie, __u16 port, __u8 family, __u8 protocol) {
  return (struct culvert_listener_key){
      .netns_cookie = netns_cookie, .port = bpf_htons(port), .family = family, .protocol = protocol};
}

/* The pod's listener, or NULL. Release it. */
static __always_inline struct bpf_sock* find_listener(__u64 netns_cookie, __u16 port, __u8 family, __u8 protocol) {
  struct culvert_listener_key key = listener_key(netns_cookie, port, family, protocol);
  return bpf_map_lookup_elem(&listeners, &key);
}

/* Whether an AF_INET6 socket takes IPv4 as well: then it stands in the slots of both. */
static __always_inline bool is_dual_stack(struct sock* sk) {
  return !BPF_CORE_READ_BITFIELD_PROBED(sk, __sk_common.skc_ipv6only);
}

static __always_inline bool is_slot(__u16 port, __u8 protocol) {
  if (protocol == IPPROTO_UDP) return port == CULVERT_PORT_DNS;
  return protocol == IPPROTO_TCP && (port == CULVERT_PORT_OUTBOUND || port == CULVERT_PORT_INBOUND || port == CULVERT_PORT_DNS);
}

static __always_inline bool is_exempt_id(__u64 id) {
  struct culvert_cgroup_key key = {.id = id};
  return bpf_map_lookup_elem(&exempt_cgroups, &key) != NULL;
}

/* Whether a cgroup is ztunnel's or below ztunnel's. */
static __always_inline bool is_exempt_cgroup(struct cgroup* cgroup) {
  for (int depth = 0; depth < CULVERT_CGROUP_DEPTH && cgroup; depth++) {
    if (is_exempt_id(BPF_CORE_READ(cgroup, kn, id))) return true;
    cgroup = (struct cgroup*)BPF_CORE_READ(cgroup, self.parent);
  }
  return false;
}

#endif
