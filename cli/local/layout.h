#pragma once
// From the objects of a folder to what runs where: pods on nodes, with addresses, and services with theirs. Pure: no I/O, no clock.
//
//   world       172.30.0.0/24       fd00:172:30::/64       node i is .1i, the control plane .1
//   pods        10.244.<i>.0/24     fd00:10:244:<i>::/64   of node i; .1 is the node's own end
//   services    10.96.0.0/16        fd00:10:96::/112       .0.10 and ::a are the cluster's DNS
//
// What was laid out before keeps its node and addresses, so that a change of one file disturbs nobody else.

#include <array>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/address.h"
#include "common/config/object.h"
#include "common/config/parse.h"
#include "common/config/problem.h"

namespace culvert::local {

inline constexpr int kMaxNodes = 9;
inline constexpr std::string_view kClusterDomain = "cluster.local";
inline constexpr std::string_view kRootNamespace = "istio-system";
// The address that a pod is to have, where a cluster's network plugin would have a way to ask for one.
inline constexpr std::string_view kPodIpAnnotation = "culvert.dev/pod-ip";

struct Addresses {
  IpAddress v4, v6;
  friend bool operator==(const Addresses&, const Addresses&) = default;
};

std::string node_name(int node);  // "node1"
std::optional<int> node_number(std::string_view name, int nodes);
Addresses control_addresses();          // culvertd's
Addresses node_addresses(int node);     // on the wire between the nodes
Addresses gateway_addresses(int node);  // what the node's pods send to
Addresses pod_addresses(int node, int host);
Addresses dns_addresses();

// Both words of "namespace/name", sorted as such.
struct PodName {
  std::string name_space, name;

  std::string text() const { return name_space + "/" + name; }
  friend auto operator<=>(const PodName&, const PodName&) = default;
};

struct PodPlan {
  config::Metadata metadata;  // complete but for the uid: labels, annotations, owners
  config::PodSpec spec;
  int node = 0;
  int host = 0;  // the last part of its addresses; 0 with hostNetwork
  Addresses addresses;
  config::Place place;  // where it was asked for

  PodName name() const { return {metadata.name_space, metadata.name}; }
};

struct ServicePlan {
  config::Service service;
  Addresses addresses;  // none for headless ones and for families that it does not have
  int number = 0;       // which of the service addresses; 0 when it asked for its own
};

struct Layout {
  int nodes = 0;
  std::map<PodName, PodPlan> pods;
  std::map<PodName, ServicePlan> services;
  std::map<PodName, config::ConfigMap> config_maps;
  std::set<std::string> namespaces;
  std::set<std::string> ambient;  // namespaces whose label asks for the mesh
  std::array<int, kMaxNodes + 1> next_host{};
  int next_service = 0;
};

// What stands in a folder, as far as it could be read.
struct Folder {
  std::vector<config::Parsed> objects;
  std::vector<config::Problem> problems;  // of everything but policies
  std::vector<config::Problem> policies;  // of policies: the control plane judges and reports those
};

// Reads the files (name -> text), strictly: a field of a workload that is not honoured is a problem.
Folder read_folder(const std::map<std::string, std::string>& files);

struct Plan {
  Layout layout;
  std::vector<config::Problem> problems;  // when there are any, the layout is not to be used
};

Plan lay_out(const Folder& folder, int nodes, const Layout& before);

// Where a service's traffic goes: its pods among `ready`, with the ports that its target ports are there.
struct Backend {
  const PodPlan* pod = nullptr;
  std::vector<std::uint16_t> ports;  // by the service's ports; 0 when the pod has no port of that name
};
std::vector<Backend> backends(const Layout& layout, const ServicePlan& service, const std::set<PodName>& ready);

// A name that may stand in paths, cgroups and host names: at most 63 letters a to z, digits and inner dashes.
bool is_label(std::string_view name);

// Why the pod does not belong to the mesh, by the node agent's own rules; empty when it does.
std::string_view why_outside(const Layout& layout, const PodPlan& pod);
inline bool wants_mesh(const Layout& layout, const PodPlan& pod) { return why_outside(layout, pod).empty(); }

// "$(NAME)" by the value of an earlier variable, "$$(NAME)" as "$(NAME)", as Kubernetes does.
std::string expand(std::string_view text, const std::map<std::string, std::string>& values);
// A container's variables, values expanded and fields of the pod filled in.
std::map<std::string, std::string> environment(const PodPlan& pod, const config::Container& container, std::string_view uid);

}  // namespace culvert::local
