#include "cni/agent/probes.h"

#include <algorithm>
#include <set>

#include "common/base/format.h"

namespace culvert::agent {
namespace {

bool is_own(const config::Pod& pod, const std::string& host) {
  if (host.empty()) return true;
  const auto address = IpAddress::parse(host);
  return address && std::ranges::contains(pod.addresses, *address);
}

std::set<std::uint16_t> own_ports(const config::Pod& pod) {
  std::set<std::uint16_t> ports;
  for (const auto& dialled : pod.spec.on_node->dialled) {
    if (is_own(pod, dialled.host)) ports.insert(dialled.port);
  }
  return ports;
}

}  // namespace

std::vector<std::uint16_t> probe_ports(const config::Pod& pod) {
  const auto ports = own_ports(pod);
  std::vector<std::uint16_t> out(ports.begin(), ports.end());
  out.resize(std::min(out.size(), kMostProbePorts));
  return out;
}

std::vector<std::string> probe_notes(const config::Pod& pod) {
  std::vector<std::string> notes;
  for (const auto& dialled : pod.spec.on_node->dialled) {
    if (is_own(pod, dialled.host)) continue;
    notes.push_back(culvert::format(
        "container {} has the kubelet dial another host, {} port {}: a pod of the mesh takes that for a probe only at "
        "the ports that its own probes name",
        dialled.container, dialled.host, dialled.port));
    if (notes.size() >= kMostProbePorts) return notes;
  }
  if (own_ports(pod).size() > kMostProbePorts)
    notes.push_back(culvert::format("the probes name more than {} ports: at the highest of them the kubelet is taken for anybody",
                                    kMostProbePorts));
  return notes;
}

}  // namespace culvert::agent
