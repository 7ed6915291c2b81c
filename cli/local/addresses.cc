
#include "cli/local/layout.h"
#include "common/base/check.h"
#include "common/base/format.h"

namespace culvert::local {
namespace {

IpAddress address(const std::string& text) {
  const auto parsed = IpAddress::parse(text);
  CULVERT_CHECK(parsed.has_value());
  return *parsed;
}

}  // namespace

std::string node_name(int node) { return culvert::format("node{}", node); }

std::optional<int> node_number(std::string_view name, int nodes) {
  for (int node = 1; node <= nodes; ++node) {
    if (node_name(node) == name) return node;
  }
  return std::nullopt;
}

Addresses control_addresses() { return {address("172.30.0.1"), address("fd00:172:30::1")}; }

Addresses node_addresses(int node) {
  return {address(culvert::format("172.30.0.1{}", node)), address(culvert::format("fd00:172:30::1{}", node))};
}

Addresses gateway_addresses(int node) { return pod_addresses(node, 1); }

Addresses pod_addresses(int node, int host) {
  return {address(culvert::format("10.244.{}.{}", node, host)), address(culvert::format("fd00:10:244:{}::{:x}", node, host))};
}

Addresses dns_addresses() { return {address("10.96.0.10"), address("fd00:10:96::a")}; }

}  // namespace culvert::local
