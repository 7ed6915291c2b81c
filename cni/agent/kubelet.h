#pragma once
// Whether the kubelet is where we look for it.

#include <filesystem>
#include <span>
#include <string>

namespace culvert::agent {

// What is wrong when a process of these cgroups (their own, not those of children) lives in another network namespace than we do: its probes
// are then not known as the kubelet's. Empty when all is well, or nothing can be told: nobody lives there, or in another PID namespace.
std::string foreign_kubelet(std::span<const std::filesystem::path> cgroups);

}  // namespace culvert::agent
