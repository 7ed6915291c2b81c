#include "controlplane/store/keep.h"

#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "common/base/format.h"

namespace culvert::controlplane {
namespace {

// Length and text: no two lists of texts come to the same.
void append(std::string& key, std::string_view text) { key += culvert::format("{} {} ", text.size(), text); }

// Network plugins and kubectl note kilobytes on a pod.
config::Labels read_annotations(const config::Labels& annotations) {
  config::Labels out;
  for (const auto& [name, value] : annotations)
    if (name.contains("istio.io/") || name.contains("culvert.dev/")) out.emplace(name, value);
  return out;
}

// Ports by name, the first of each: as one container, since nobody asks which it is.
std::vector<config::ContainerPort> ports_of(const config::PodSpec& spec) {
  std::vector<config::ContainerPort> out;
  std::set<std::string_view> names;
  for (const config::Container& container : spec.containers) {
    for (const config::ContainerPort& port : container.ports)
      if (port.transport == config::Transport::kTcp && names.insert(port.name).second) out.push_back(port);
  }
  return out;
}

}  // namespace

config::Shared<config::Labels> Keep::shared(const config::Labels& labels) {
  if (labels.empty()) return {};
  std::string key;
  for (const auto& [name, value] : labels) {
    append(key, name);
    append(key, value);
  }
  return labels_.take(key, [&] { return labels; });
}

// What a Pod's endpoint is, its Pod says itself: of the slice counts only which Pods it names.
config::ObjectPtr Keep::without_pods_own(const config::EndpointSlice& slice) {
  config::EndpointSlice out = slice;
  out.metadata.annotations = shared(read_annotations(slice.metadata.annotations));
  for (config::EndpointSlice::Endpoint& endpoint : out.endpoints)
    if (endpoint.target != config::EndpointSlice::Endpoint::Target::kNone) endpoint.own = {};
  out.endpoints.shrink_to_fit();
  return std::make_shared<const config::Object>(std::move(out));
}

config::ObjectPtr Keep::operator()(config::ObjectPtr object) {
  if (const auto* slice = std::get_if<config::EndpointSlice>(object.get())) return without_pods_own(*slice);
  const auto* pod = std::get_if<config::Pod>(object.get());
  if (!pod) return object;
  config::Pod out{.metadata = pod->metadata, .spec = {}, .phase = pod->phase, .ready = pod->ready, .addresses = pod->addresses};
  out.metadata.labels = shared(pod->metadata.labels);
  out.metadata.annotations = shared(read_annotations(pod->metadata.annotations));
  if (!pod->metadata.owners.empty()) {
    std::string key;
    for (const config::OwnerReference& owner : pod->metadata.owners) {
      append(key, owner.kind);
      append(key, owner.name);
      append(key, owner.controller ? "1" : "0");
    }
    out.metadata.owners = owners_.take(key, [&] { return pod->metadata.owners.get(); });
  }
  out.spec.node_name = pod->spec.node_name;
  out.spec.service_account = pod->spec.service_account;
  out.spec.host_network = pod->spec.host_network;
  if (auto ports = ports_of(pod->spec); !ports.empty()) {
    std::string key;
    for (const config::ContainerPort& port : ports) append(key, culvert::format("{} {}", port.port, port.name));
    out.spec.containers = containers_.take(key, [&] {
      std::vector<config::Container> one(1);
      one.front().ports = std::move(ports);
      return one;
    });
  }
  out.addresses.shrink_to_fit();
  return std::make_shared<const config::Object>(std::move(out));
}

}  // namespace culvert::controlplane
