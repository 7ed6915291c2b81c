/* Iterators over the open files of processes: put the sockets that ztunnel holds into their slots, whoever made them and whenever.
 *
 * For what sockops cannot see: UDP, listeners that were there before us, listeners handed over between processes, and a slot that emptied
 * because the socket it held was closed while its SO_REUSEPORT siblings live on. Who holds the descriptor decides, so a
 * successor's descriptors count from the moment it has them.
 * Not iter/tcp: that walks the node's whole table of connections once per pod, and before Linux 6.5 holds the socket's spinlock, which
 * putting the socket into a map would take again. */
#include "bpf/lib/listener.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define EEXIST 17

static __always_inline int done(enum culvert_counter counter) {
  count(counter);
  return 0;
}

/* Whether the socket stands in the slot now, or another one did already and was to stay. */
static __always_inline bool put(struct sock* sk, __u16 port, __u8 family, __u8 protocol, __u64 flags) {
  struct culvert_listener_key key = listener_key(sk->__sk_common.skc_net.net->net_cookie, port, family, protocol);
  long error = bpf_map_update_elem(&listeners, &key, sk, flags);
  return !error || error == -EEXIST;
}

static __always_inline int look_at(struct bpf_iter__task_file* ctx, __u64 flags) {
  struct task_struct* task = ctx->task;
  struct file* file = ctx->file;
  if (!task || !file) return 0; /* no file, but the end of the walk: nothing to count */
  struct socket* socket = bpf_sock_from_file(file);
  if (!socket) return done(CULVERT_ITER_OTHER);
  struct sock* sk = socket->sk;
  if (!sk) return done(CULVERT_ITER_OTHER);

  __u16 port = sk->__sk_common.skc_num;
  __u8 family = sk->__sk_common.skc_family;
  __u8 protocol = sk->sk_protocol;
  if ((family != AF_INET && family != AF_INET6) || !is_slot(port, protocol)) return done(CULVERT_ITER_OTHER);
  if (protocol == IPPROTO_TCP && sk->__sk_common.skc_state != BPF_TCP_LISTEN) return done(CULVERT_ITER_OTHER);
  if (!is_exempt_cgroup(BPF_CORE_READ(task, cgroups, dfl_cgrp))) return done(CULVERT_ITER_OTHER);

  if (!put(sk, port, family, protocol, flags)) return done(CULVERT_ITER_SLOT_LOST);
  if (family == AF_INET6 && is_dual_stack(sk) && !put(sk, port, AF_INET, protocol, flags)) return done(CULVERT_ITER_SLOT_LOST);
  return done(CULVERT_ITER_SLOT);
}

/* Fills the slots that are empty. */
SEC("iter/task_file")
int culvert_refill(struct bpf_iter__task_file* ctx) { return look_at(ctx, BPF_NOEXIST); }

/* Fills them all: for the process that shall have them from now on. */
SEC("iter/task_file")
int culvert_replace(struct bpf_iter__task_file* ctx) { return look_at(ctx, BPF_ANY); }
