#pragma once
// Network namespaces, veth pairs and a bridge by rtnetlink: needs no tool, so the same tests run in a bare kernel under qemu.

#include <cstdint>
#include <string>

#include "common/base/fd.h"

namespace culvert::bpf_test {

// A namespace without a name: gone when the last descriptor and process is.
Fd new_netns();

void add_bridge(int netns, const char* name);
// A veth pair: `outer` in `outer_netns` and a port of `bridge`, `inner` in `inner_netns`. Both up.
void add_veth(int outer_netns, const std::string& outer, const char* bridge, int inner_netns, const char* inner);
void add_address(int netns, const char* device, const std::string& address, int prefix);
void remove_address(int netns, const char* device, const std::string& address, int prefix);
void add_default_route(int netns, const std::string& via);
void set_sysctl(int netns, const std::string& name, const char* value);

}  // namespace culvert::bpf_test
