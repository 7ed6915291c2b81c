/* sk_lookup, one instance per pod attached to the pod's network namespace: who gets a new connection (datapath.md §1.3).
 *
 * The context does not tell the namespace, so each instance has the pod's cookie in its read-only data. Runs for new connections
 * only, and for UDP that no connected socket takes. What ztunnel should have and cannot have now is dropped, never passed. */
#include "bpf/lib/listener.h"

#define LOOPBACK_IFINDEX 1
#define DNS_PORT 53

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile __u64 netns_cookie = 0; /* the pod */
const volatile bool dns_capture = false;

struct packet {
  struct host source, destination;
  __be16 source_port;
  __u16 destination_port; /* host order */
  __u8 protocol;
  bool on_lo;
};

static __always_inline int pass(enum culvert_counter counter) {
  count(counter);
  return SK_PASS;
}

static __always_inline int drop(enum culvert_counter counter) {
  count(counter);
  return SK_DROP;
}

static __always_inline struct packet packet_of(struct bpf_sk_lookup* ctx) {
  struct packet packet = {};
  if (ctx->family == AF_INET) {
    packet.source = host_v4(ctx->remote_ip4);
    packet.destination = host_v4(ctx->local_ip4);
  } else {
    packet.source = host_v6(ctx->remote_ip6[0], ctx->remote_ip6[1], ctx->remote_ip6[2], ctx->remote_ip6[3]);
    packet.destination = host_v6(ctx->local_ip6[0], ctx->local_ip6[1], ctx->local_ip6[2], ctx->local_ip6[3]);
  }
  packet.source_port = ctx->remote_port;
  packet.destination_port = ctx->local_port;
  packet.protocol = ctx->protocol;
  /* The interface that the route names: the pod's own addresses show eth0 even when the packet never left lo. */
  packet.on_lo = ctx->ingress_ifindex == LOOPBACK_IFINDEX;
  return packet;
}

static __always_inline int give_to(struct bpf_sk_lookup* ctx, const struct packet* packet, __u16 port,
                                   enum culvert_counter counter) {
  struct bpf_sock* listener = find_listener(netns_cookie, port, packet->destination.family, packet->protocol);
  if (!listener) return drop(CULVERT_LOOKUP_NO_LISTENER);
  long failed = bpf_sk_assign(ctx, listener, 0); /* 0: its SO_REUSEPORT group chooses */
  bpf_sk_release(listener);
  return failed ? drop(CULVERT_LOOKUP_ASSIGN_FAILED) : pass(counter);
}

static __always_inline bool is_kubelets(const struct packet* packet) {
  struct culvert_flow_key flow =
      flow_key(&packet->source, packet->source_port, &packet->destination, bpf_htons(packet->destination_port));
  return bpf_map_lookup_elem(&probes, &flow) != NULL;
}

static __always_inline bool is_probed(const struct packet* packet) {
  struct culvert_probe_port_key key = {.netns_cookie = netns_cookie, .port = bpf_htons(packet->destination_port)};
  return bpf_map_lookup_elem(&probe_ports, &key) != NULL;
}

SEC("sk_lookup")
int culvert_lookup(struct bpf_sk_lookup* ctx) {
  struct packet packet = packet_of(ctx);
  bool to_own = is_own(netns_cookie, &packet.destination);
  bool from_own = is_own(netns_cookie, &packet.source);

  if (is_loopback(&packet.destination) || (from_own && to_own)) return pass(CULVERT_LOOKUP_LOCAL);
  if (packet.protocol == IPPROTO_UDP) {
    /* Only the DNS rule brings a foreign destination here; an answer to a resolver that asks from port 53 has our own. */
    if (packet.on_lo && packet.destination_port == DNS_PORT && !to_own)
      return give_to(ctx, &packet, CULVERT_PORT_DNS, CULVERT_LOOKUP_DNS_UDP);
    return pass(CULVERT_LOOKUP_UDP);
  }
  if (from_own && !to_own) {
    if (dns_capture && packet.destination_port == DNS_PORT)
      return give_to(ctx, &packet, CULVERT_PORT_DNS, CULVERT_LOOKUP_DNS_TCP);
    return give_to(ctx, &packet, CULVERT_PORT_OUTBOUND, CULVERT_LOOKUP_OUTBOUND);
  }
  /* Marked, or it would not be here; from an address that is not known as the pod's (yet): whoever listens in the pod must not have it. */
  if (packet.on_lo && !to_own) return drop(CULVERT_LOOKUP_STRAY);
  if (packet.on_lo) return pass(CULVERT_LOOKUP_IN_POD);
  /* The kubelet dials what any pod's object tells it to: past ztunnel it comes only to where this pod's own does. */
  bool kubelets = is_kubelets(&packet);
  if (kubelets && is_probed(&packet)) return pass(CULVERT_LOOKUP_PROBE);
  if (packet.destination_port == CULVERT_PORT_HBONE) return pass(CULVERT_LOOKUP_HBONE);
  return give_to(ctx, &packet, CULVERT_PORT_INBOUND, kubelets ? CULVERT_LOOKUP_NOT_PROBED : CULVERT_LOOKUP_INBOUND);
}
