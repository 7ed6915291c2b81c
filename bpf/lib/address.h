/* Addresses of a pod and what they mean to it. */
#ifndef CULVERT_ADDRESS_H
#define CULVERT_ADDRESS_H

#include "bpf/lib/maps.h"

#define AF_INET 2
#define AF_INET6 10

/* An address with its family: IPv4-mapped ones are IPv4. */
struct host {
  __u32 words[4]; /* network order; IPv4 in the first, the rest zero */
  __u8 family;
};

static __always_inline struct host host_v4(__u32 address) {
  return (struct host){.words = {address, 0, 0, 0}, .family = AF_INET};
}

static __always_inline struct host host_v6(__u32 a, __u32 b, __u32 c, __u32 d) {
  if (a == 0 && b == 0 && c == bpf_htonl(0xffff)) return host_v4(d);
  return (struct host){.words = {a, b, c, d}, .family = AF_INET6};
}

/* 127.0.0.0/8 and ::1. */
static __always_inline bool is_loopback(const struct host* host) {
  if (host->family == AF_INET) return (bpf_ntohl(host->words[0]) >> 24) == 127;
  return (host->words[0] | host->words[1] | host->words[2]) == 0 && host->words[3] == bpf_htonl(1);
}

static __always_inline bool is_unspecified(const struct host* host) {
  return (host->words[0] | host->words[1] | host->words[2] | host->words[3]) == 0;
}

static __always_inline bool is_own(__u64 netns_cookie, const struct host* host) {
  struct culvert_own_key key = {.netns_cookie = netns_cookie, .family = host->family};
  __builtin_memcpy(key.address.bytes, host->words, sizeof(key.address.bytes));
  return bpf_map_lookup_elem(&own_addresses, &key) != NULL;
}

static __always_inline struct culvert_flow_key flow_key(const struct host* source, __be16 source_port,
                                                        const struct host* destination, __be16 destination_port) {
  struct culvert_flow_key key = {.source_port = source_port, .destination_port = destination_port, .family = source->family};
  __builtin_memcpy(key.source.bytes, source->words, sizeof(key.source.bytes));
  __builtin_memcpy(key.destination.bytes, destination->words, sizeof(key.destination.bytes));
  return key;
}

#endif
