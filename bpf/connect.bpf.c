/* connect4 and connect6, attached at the cgroup root: decides whether what an application dials goes to ztunnel (datapath.md §1, §2.1).
 *
 * Captured means marked: the pod's policy rule turns the SYN around on lo and lookup.bpf.c gives it to ztunnel. The destination stays.
 * Only the caller's cgroup exempts. A mark that the application has set itself is overwritten here, before the SYN exists. */
#include "bpf/lib/listener.h"

#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define SOL_SOCKET 1
#define SO_MARK 36
#define ECONNREFUSED 111
#define DNS_PORT 53

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile __u64 host_netns_cookie = 0; /* where the kubelet lives */
const volatile bool has_set_retval = false; /* Linux 5.18; without it a refused connect sees EPERM */

enum { kRefuse = 0, kAllow = 1 };

static __always_inline int allow(enum culvert_counter counter) {
  count(counter);
  return kAllow;
}

static __always_inline int refuse(enum culvert_counter counter) {
  count(counter);
  if (has_set_retval) bpf_set_retval(-ECONNREFUSED);
  return kRefuse;
}

/* ztunnel calls from its own cgroup or, when it has made some, from one below. Levels count from the root (0), which is never exempt. */
static __always_inline bool caller_is_ztunnel(void) {
  if (is_exempt_id(bpf_get_current_cgroup_id())) return true;
  for (int level = 1; level < CULVERT_CGROUP_DEPTH; level++) {
    __u64 id = bpf_get_current_ancestor_cgroup_id(level);
    if (!id) return false;
    if (is_exempt_id(id)) return true;
  }
  return false;
}

static __always_inline bool is_tcp(struct bpf_sock_addr* ctx) { return ctx->type == SOCK_STREAM && ctx->protocol == IPPROTO_TCP; }

/* A connection of the kubelet is noted on its socket; sockops registers its 4-tuple once the source port is known. */
static __always_inline int outside(struct bpf_sock_addr* ctx, __u64 cookie) {
  if (cookie != host_netns_cookie || !is_tcp(ctx) || !ctx->sk) return allow(CULVERT_CONNECT_OUTSIDE);
  struct culvert_cgroup_key caller = {.id = bpf_get_current_cgroup_id()};
  if (!bpf_map_lookup_elem(&kubelet_cgroups, &caller)) return allow(CULVERT_CONNECT_OUTSIDE);
  struct culvert_present present = {.present = 1};
  if (!bpf_sk_storage_get(&kubelet_sockets, ctx->sk, &present, BPF_SK_STORAGE_GET_F_CREATE))
    return allow(CULVERT_CONNECT_KUBELET_LOST);
  return allow(CULVERT_CONNECT_KUBELET);
}

static __always_inline bool is_dns(struct bpf_sock_addr* ctx, const struct culvert_pod* pod) {
  return (pod->flags & CULVERT_POD_DNS) && ctx->user_port == bpf_htons(DNS_PORT);
}

/* A resolver's queries come to ztunnel by the pod's rules, without a mark. While nobody listens they would vanish, and it would wait for seconds. */
static __always_inline int datagrams(struct bpf_sock_addr* ctx, __u64 cookie, const struct culvert_pod* pod,
                                     const struct host* to) {
  if (ctx->type != SOCK_DGRAM || ctx->protocol != IPPROTO_UDP || !is_dns(ctx, pod) || caller_is_ztunnel() || is_loopback(to) ||
      is_unspecified(to) || is_own(cookie, to))
    return allow(CULVERT_CONNECT_NOT_TCP);
  struct bpf_sock* listener = find_listener(cookie, CULVERT_PORT_DNS, to->family, IPPROTO_UDP);
  if (!listener) return refuse(CULVERT_CONNECT_REFUSED);
  bpf_sk_release(listener);
  return allow(CULVERT_CONNECT_NOT_TCP);
}

static __always_inline int captured(struct bpf_sock_addr* ctx, __u64 cookie, const struct culvert_pod* pod,
                                    const struct host* to) {
  bool dns = is_dns(ctx, pod);
  struct bpf_sock* listener = find_listener(cookie, dns ? CULVERT_PORT_DNS : CULVERT_PORT_OUTBOUND, to->family, IPPROTO_TCP);
  if (!listener) return refuse(CULVERT_CONNECT_REFUSED);
  bpf_sk_release(listener);
  int mark = CULVERT_MARK_CAPTURED;
  if (bpf_setsockopt(ctx, SOL_SOCKET, SO_MARK, &mark, sizeof(mark))) return refuse(CULVERT_CONNECT_MARK_FAILED);
  return allow(CULVERT_CONNECT_CAPTURED);
}

static __always_inline int connecting(struct bpf_sock_addr* ctx, const struct host* to) {
  struct culvert_pod_key key = {.netns_cookie = bpf_get_netns_cookie(ctx)};
  struct culvert_pod* pod = bpf_map_lookup_elem(&pods, &key);
  if (!pod) return outside(ctx, key.netns_cookie);
  if (!is_tcp(ctx)) return datagrams(ctx, key.netns_cookie, pod, to);
  if (caller_is_ztunnel()) return allow(CULVERT_CONNECT_EXEMPT);
  /* The kernel connects an unspecified address to loopback. */
  if (is_loopback(to) || is_unspecified(to) || is_own(key.netns_cookie, to)) return allow(CULVERT_CONNECT_OWN);
  return captured(ctx, key.netns_cookie, pod, to);
}

SEC("cgroup/connect4")
int culvert_connect4(struct bpf_sock_addr* ctx) {
  struct host to = host_v4(ctx->user_ip4);
  return connecting(ctx, &to);
}

SEC("cgroup/connect6")
int culvert_connect6(struct bpf_sock_addr* ctx) {
  struct host to = host_v6(ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3]);
  return connecting(ctx, &to);
}
