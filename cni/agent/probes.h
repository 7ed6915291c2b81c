#pragma once
// What the kubelet dials for a pod: its own probes and lifecycle handlers. They are written by whoever writes the pod, and may name anybody. Pure.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "common/config/object.h"

namespace culvert::agent {

inline constexpr std::size_t kMostProbePorts = 64;  // of one pod: the kernel's map is the whole node's

// The ports at which the kubelet reaches the pod past ztunnel: those that are dialled at the pod itself, sorted, as many as there may be.
std::vector<std::uint16_t> probe_ports(const config::Pod& pod);

// What is dialled elsewhere, or is one port too many: one sentence for each.
std::vector<std::string> probe_notes(const config::Pod& pod);

}  // namespace culvert::agent
