/* What our programs read of the running kernel, and nothing more. The offsets written into the object at build time do not matter:
 * libbpf corrects each access by the running kernel's BTF (preserve_access_index), so a field may move; one that
 * vanished is a refused load. What user space may know of BPF comes from <linux/bpf.h>. */
#ifndef CULVERT_VMLINUX_H
#define CULVERT_VMLINUX_H

/* In this order: libbpf's helpers use the kernel's types. */
/* clang-format off */
#include <linux/types.h>
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
/* clang-format on */

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct kernfs_node {
  __u64 id; /* of a cgroup: its id */
};

struct cgroup_subsys_state {
  struct cgroup_subsys_state* parent;
};

struct cgroup {
  struct cgroup_subsys_state self; /* first: a pointer to it is a pointer to its cgroup */
  struct kernfs_node* kn;
};

struct css_set {
  struct cgroup* dfl_cgrp; /* the task's cgroup2 */
};

struct task_struct {
  struct css_set* cgroups;
};

struct net {
  __u64 net_cookie;
};

typedef struct {
  struct net* net;
} possible_net_t;

struct sock_common {
  __u16 skc_num; /* local port, host order */
  unsigned short skc_family;
  volatile unsigned char skc_state;
  unsigned char skc_ipv6only : 1; /* IPV6_V6ONLY */
  possible_net_t skc_net;
};

struct sock_cgroup_data {
  struct cgroup* cgroup; /* of the task that made the socket */
};

struct sock {
  struct sock_common __sk_common;
  __u16 sk_protocol;
  struct sock_cgroup_data sk_cgrp_data;
};

struct tcp_sock {
  struct sock sk; /* only ever used as a struct sock */
};

struct socket {
  struct sock* sk;
};

struct file;
struct bpf_iter_meta;

#pragma clang attribute pop

/* The context of iter/task_file: each open file of each task. */
struct bpf_iter__task_file {
  __bpf_md_ptr(struct bpf_iter_meta*, meta);
  __bpf_md_ptr(struct task_struct*, task);
  __u32 fd;
  __bpf_md_ptr(struct file*, file);
} __attribute__((preserve_access_index));

#endif
