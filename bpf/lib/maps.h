/* The maps, as culvert_abi.h describes them. Every object defines all of them (weak: linked into one); the loader pins each by name and
 * gives every program the same ones. */
#ifndef CULVERT_MAPS_H
#define CULVERT_MAPS_H

#include "bpf/include/culvert_abi.h"
#include "bpf/lib/vmlinux.h"

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, CULVERT_MAX_PODS);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, struct culvert_pod_key);
  __type(value, struct culvert_pod);
} pods __weak SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, CULVERT_MAX_OWN_ADDRESSES);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, struct culvert_own_key);
  __type(value, struct culvert_present);
} own_addresses __weak SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_SOCKHASH);
  __uint(max_entries, CULVERT_MAX_LISTENERS);
  __type(key, struct culvert_listener_key);
  __type(value, __u64);
} listeners __weak SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, CULVERT_MAX_CGROUPS);
  __type(key, struct culvert_cgroup_key);
  __type(value, struct culvert_present);
} exempt_cgroups __weak SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, CULVERT_MAX_CGROUPS);
  __type(key, struct culvert_cgroup_key);
  __type(value, struct culvert_present);
} kubelet_cgroups __weak SEC(".maps");

/* Which sockets the kubelet connects with, between the connect hook (which knows the caller) and sockops (which knows the port). Shared. */
struct {
  __uint(type, BPF_MAP_TYPE_SK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, struct culvert_present);
} kubelet_sockets __weak SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, CULVERT_MAX_PROBES);
  __type(key, struct culvert_flow_key);
  __type(value, struct culvert_present);
} probes __weak SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, CULVERT_MAX_PROBE_PORTS);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, struct culvert_probe_port_key);
  __type(value, struct culvert_present);
} probe_ports __weak SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, CULVERT_MAX_PODS);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, struct culvert_pod_key);
  __type(value, struct culvert_sysctls);
} pod_sysctls __weak SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, CULVERT_COUNTER_COUNT);
  __type(key, __u32);
  __type(value, __u64);
} counters __weak SEC(".maps");

const volatile struct culvert_abi culvert_abi __weak = {
    .version = CULVERT_ABI_VERSION,
    .counters = CULVERT_COUNTER_COUNT,
    .mark_mask = CULVERT_MARK_MASK,
    .first_port = CULVERT_PORT_OUTBOUND,
    .pod_flags = CULVERT_POD_DNS,
    .pods = CULVERT_MAX_PODS,
};

static __always_inline void count(enum culvert_counter counter) {
  __u32 index = counter;
  __u64* value = bpf_map_lookup_elem(&counters, &index);
  if (value) (*value)++;
}

#endif
