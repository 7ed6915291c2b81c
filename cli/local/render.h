#pragma once
// What a layout looks like to those who serve it: YAML for culvertd and the node agents, rules for nftables, a zone for the DNS.
// Pure: values to text.

#include <map>
#include <set>
#include <string>

#include "cli/local/layout.h"

namespace culvert::local {

// What is true of a pod at the moment.
struct PodState {
  std::string uid;
  bool running = false;  // its namespace is there and its containers were started
  bool ready = false;
  std::string netns;  // path of its network namespace, empty before it has one

  friend bool operator==(const PodState&, const PodState&) = default;
};
using PodStates = std::map<PodName, PodState>;

std::set<PodName> ready_pods(const PodStates& states);

// What the control plane reads of a file of the user's: namespaces, accounts and policies as they stand there, on the same lines, everything
// else blanked out (it comes from render_objects, with addresses). Empty when nothing is left.
std::string keep_policies(std::string_view file, std::string_view text);

// Namespaces that exist without being written down, Pods, Services and EndpointSlices: file name -> YAML.
std::map<std::string, std::string> render_objects(const Layout& layout, const PodStates& states);

// Rules for `nft -f` in a node's network namespace: service addresses lead to ready pods, those without any are refused.
std::string render_services(const Layout& layout, const std::set<PodName>& ready);

// Lines "NAME TYPE VALUE" for dns.h: services, headless services, pods by address, the control plane's names.
std::string render_zone(const Layout& layout, const std::set<PodName>& ready);

// /etc/hosts and /etc/resolv.conf of a pod or node. Nodes know the control plane by its service's name, whatever becomes of the DNS.
std::string render_hosts(const std::string& hostname, const Addresses& own, bool node);
std::string render_resolv_conf(const std::string& name_space);

std::string in_quotes(std::string_view text);  // as YAML and JSON write it

}  // namespace culvert::local
