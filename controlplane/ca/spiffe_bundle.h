#pragma once
// What the trust domain's certificates chain to, as a SPIFFE bundle (SPIFFE_Trust_Domain_and_Bundle.md): what other trust domains fetch to trust ours.

#include <cstdint>
#include <string>

namespace culvert::controlplane {

inline constexpr const char* kBundlePath = "/spiffe/bundle";

// `sequence` grows when the roots change. Roots whose keys JSON Web Keys do not know are left out. Pure.
std::string spiffe_bundle(const std::string& roots_pem, std::uint64_t sequence);

}  // namespace culvert::controlplane
