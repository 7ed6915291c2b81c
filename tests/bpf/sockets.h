#pragma once
// The bodies of the lab's serving processes. They report one byte when they listen, and never return.

#include "tests/bpf/lab.h"

namespace culvert::bpf_test {

void serve_app(std::uint16_t port, int report);
void serve_ztunnel(int workers, int report);

}  // namespace culvert::bpf_test
