/* sockops, attached at the cgroup root: registers the kubelet's probes and puts ztunnel's listeners into their slots.
 *
 * At the root and not in ztunnel's cgroup: one link that is there before any ztunnel is, and that an upgrade swaps like the others; whose
 * listener it is, the socket's own cgroup tells. It costs every other TCP event of the node one look at ctx->op.
 * Always returns 1: any other value would discard the answers of other sockops programs. */
#include "bpf/lib/listener.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

static __always_inline int done(enum culvert_counter counter) {
  count(counter);
  return 1;
}

static __always_inline struct culvert_flow_key flow_of(struct bpf_sock_ops* ctx) {
  struct host source = host_v4(ctx->local_ip4), destination = host_v4(ctx->remote_ip4);
  if (ctx->family == AF_INET6) {
    struct host to = host_v6(ctx->remote_ip6[0], ctx->remote_ip6[1], ctx->remote_ip6[2], ctx->remote_ip6[3]);
    if (to.family == AF_INET6) { /* else IPv4 through an IPv6 socket: the IPv4 fields hold */
      destination = to;
      source = (struct host){.words = {ctx->local_ip6[0], ctx->local_ip6[1], ctx->local_ip6[2], ctx->local_ip6[3]},
                             .family = AF_INET6};
    }
  }
  return flow_key(&source, bpf_htons(ctx->local_port), &destination, bpf_htons(bpf_ntohl(ctx->remote_port)));
}

/* The source port is chosen, the SYN not yet sent: the pod's sk_lookup will find the registration. */
static __always_inline int about_to_connect(struct bpf_sock_ops* ctx) {
  struct bpf_sock* sk = ctx->sk;
  if (!sk || !bpf_sk_storage_get(&kubelet_sockets, sk, NULL, 0)) return done(CULVERT_SOCKOPS_OTHER);
  struct culvert_flow_key flow = flow_of(ctx);
  struct culvert_present present = {.present = 1};
  if (bpf_map_update_elem(&probes, &flow, &present, BPF_ANY)) return done(CULVERT_SOCKOPS_PROBE_LOST);
  bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
  return done(CULVERT_SOCKOPS_PROBE);
}

/* Registered until it closes, not only until it is established: a repeated SYN, or the ACK that answers a SYN cookie, asks sk_lookup
 * again. As long as the socket lives nobody else can have its 4-tuple. */
static __always_inline int changed_state(struct bpf_sock_ops* ctx) {
  struct bpf_sock* sk = ctx->sk;
  if (ctx->args[1] != BPF_TCP_CLOSE || !sk || !bpf_sk_storage_get(&kubelet_sockets, sk, NULL, 0))
    return done(CULVERT_SOCKOPS_OTHER);
  struct culvert_flow_key flow = flow_of(ctx);
  bpf_map_delete_elem(&probes, &flow);
  return done(CULVERT_SOCKOPS_PROBE_CLOSED);
}

static __always_inline int listening(struct bpf_sock_ops* ctx) {
  struct bpf_sock* sk = ctx->sk;
  if (!sk || !is_slot(ctx->local_port, IPPROTO_TCP)) return done(CULVERT_SOCKOPS_OTHER);
  struct tcp_sock* tcp = bpf_skc_to_tcp_sock(sk);
  if (!tcp || !is_exempt_cgroup(BPF_CORE_READ((struct sock*)tcp, sk_cgrp_data.cgroup))) return done(CULVERT_SOCKOPS_OTHER);
  struct culvert_listener_key key = listener_key(bpf_get_netns_cookie(ctx), ctx->local_port, ctx->family, IPPROTO_TCP);
  if (bpf_sock_hash_update(ctx, &listeners, &key, BPF_ANY)) return done(CULVERT_SOCKOPS_LISTENER_LOST);
  if (key.family == AF_INET6 && is_dual_stack((struct sock*)tcp)) {
    key.family = AF_INET;
    if (bpf_sock_hash_update(ctx, &listeners, &key, BPF_ANY)) return done(CULVERT_SOCKOPS_LISTENER_LOST);
  }
  return done(CULVERT_SOCKOPS_LISTENER);
}

SEC("sockops")
int culvert_sockops(struct bpf_sock_ops* ctx) {
  switch (ctx->op) {
    case BPF_SOCK_OPS_TCP_CONNECT_CB: return about_to_connect(ctx);
    case BPF_SOCK_OPS_STATE_CB: return changed_state(ctx);
    case BPF_SOCK_OPS_TCP_LISTEN_CB: return listening(ctx);
  }
  return done(CULVERT_SOCKOPS_OTHER);
}
