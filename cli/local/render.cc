#include "cli/local/render.h"

#include <algorithm>

#include "common/base/format.h"
#include "common/config/parse.h"

namespace culvert::local {
namespace {

std::string labels(std::string_view field, const config::Labels& values) {
  if (values.empty()) return {};
  std::string text = culvert::format("  {}:\n", field);
  for (const auto& [name, value] : values) text += culvert::format("    {}: {}\n", in_quotes(name), in_quotes(value));
  return text;
}

std::string head(std::string_view version, std::string_view kind, const config::Metadata& metadata) {
  std::string text =
      culvert::format("apiVersion: {}\nkind: {}\nmetadata:\n  name: {}\n", version, kind, in_quotes(metadata.name));
  if (!metadata.name_space.empty()) text += culvert::format("  namespace: {}\n", in_quotes(metadata.name_space));
  if (!metadata.uid.empty()) text += culvert::format("  uid: {}\n", in_quotes(metadata.uid));
  text += labels("labels", metadata.labels) + labels("annotations", metadata.annotations);
  if (!metadata.owners.empty()) text += "  ownerReferences:\n";
  for (const auto& owner : metadata.owners) {
    text += culvert::format("  - apiVersion: apps/v1\n    kind: {}\n    name: {}\n    controller: {}\n    uid: \"\"\n",
                            owner.kind, in_quotes(owner.name), owner.controller);
  }
  return text;
}

const char* protocol(config::Transport transport) { return transport == config::Transport::kUdp ? "UDP" : "TCP"; }

// Where the prober dials, which is all that anybody wants to know of it.
std::string probed(const config::Container& container) {
  if (!container.readiness) return {};
  const auto& probe = *container.readiness;
  const auto* const port = probe.http_get ? &probe.http_get->port : probe.tcp_socket ? &*probe.tcp_socket : nullptr;
  if (port == nullptr) return {};
  return culvert::format("    readinessProbe: {{tcpSocket: {{port: {}}}}}\n",
                         port->number != 0 ? std::to_string(port->number) : in_quotes(port->name));
}

std::string render_pod(const PodPlan& pod, const PodState& state) {
  auto metadata = pod.metadata;
  metadata.uid = state.uid;
  if (!state.netns.empty()) metadata.annotations.edit()["culvert.dev/netns"] = state.netns;
  std::string text = head("v1", "Pod", metadata);
  text += culvert::format("spec:\n  nodeName: {}\n  serviceAccountName: {}\n  hostNetwork: {}\n", pod.spec.node_name,
                          in_quotes(pod.spec.service_account), pod.spec.host_network);
  if (!pod.spec.on_node->hostname.empty()) text += culvert::format("  hostname: {}\n", in_quotes(pod.spec.on_node->hostname));
  if (!pod.spec.on_node->subdomain.empty()) text += culvert::format("  subdomain: {}\n", in_quotes(pod.spec.on_node->subdomain));
  text += "  containers:\n";
  for (const auto& container : pod.spec.containers) {
    text += culvert::format("  - name: {}\n    image: culvert.dev/local\n", in_quotes(container.name));
    if (!container.ports.empty()) text += "    ports:\n";
    for (const auto& port : container.ports) {
      text += culvert::format("    - containerPort: {}\n      protocol: {}\n", port.port, protocol(port.transport));
      if (!port.name.empty()) text += culvert::format("      name: {}\n", in_quotes(port.name));
    }
    text += probed(container);
  }
  text += culvert::format("status:\n  phase: {}\n  hostIP: {}\n", state.running ? "Running" : "Pending",
                          node_addresses(pod.node).v4.text());
  if (state.running || !state.netns.empty()) {
    text += culvert::format("  podIP: {0}\n  podIPs:\n  - ip: {0}\n  - ip: {1}\n", in_quotes(pod.addresses.v4.text()),
                            in_quotes(pod.addresses.v6.text()));
  }
  return text + culvert::format("  conditions:\n  - type: Ready\n    status: \"{}\"\n", state.ready ? "True" : "False");
}

std::string render_service(const ServicePlan& plan) {
  const auto& service = plan.service;
  std::string text = head("v1", "Service", service.metadata) + "spec:\n  type: ClusterIP\n";
  if (service.headless) {
    text += "  clusterIP: None\n";
  } else {
    std::string families, addresses;
    for (const auto* address : {&plan.addresses.v4, &plan.addresses.v6}) {
      if (address->is_none()) continue;
      addresses += culvert::format("  - {}\n", in_quotes(address->text()));
      families += culvert::format("  - {}\n", address->is_v4() ? "IPv4" : "IPv6");
    }
    text += culvert::format("  clusterIP: {}\n  clusterIPs:\n{}  ipFamilies:\n{}",
                            in_quotes((plan.addresses.v4.is_none() ? plan.addresses.v6 : plan.addresses.v4).text()), addresses,
                            families);
  }
  if (!service.selector.empty()) text += labels("selector", service.selector);
  if (service.publish_not_ready) text += "  publishNotReadyAddresses: true\n";
  if (service.internal_traffic_local) text += "  internalTrafficPolicy: Local\n";
  if (!service.traffic_distribution.empty())
    text += culvert::format("  trafficDistribution: {}\n", in_quotes(service.traffic_distribution));
  if (!service.ports.empty()) text += "  ports:\n";
  for (const auto& port : service.ports) {
    text += culvert::format("  - port: {}\n    protocol: {}\n    targetPort: {}\n", port.port, protocol(port.transport),
                            port.target.number != 0 ? std::to_string(port.target.number) : in_quotes(port.target.name));
    if (!port.name.empty()) text += culvert::format("    name: {}\n", in_quotes(port.name));
    if (!port.app_protocol.empty()) text += culvert::format("    appProtocol: {}\n", in_quotes(port.app_protocol));
  }
  return text;
}

// One slice for each family and each set of port numbers, as Kubernetes has it.
std::string render_slices(const Layout& layout, const ServicePlan& plan, const std::set<PodName>& ready) {
  ServicePlan all = plan;
  all.service.publish_not_ready = true;  // those that are not ready are listed as such
  std::map<std::vector<std::uint16_t>, std::vector<const PodPlan*>> groups;
  for (const auto& backend : backends(layout, all, ready)) groups[backend.ports].push_back(backend.pod);
  std::string text;
  int number = 0;
  for (const auto& [ports, pods] : groups) {
    for (const bool v6 : {false, true}) {
      config::Metadata metadata{.name = culvert::format("{}-{}", plan.service.metadata.name, ++number),
                                .name_space = plan.service.metadata.name_space,
                                .uid = {},
                                .labels = {{"kubernetes.io/service-name", plan.service.metadata.name}},
                                .annotations = {},
                                .owners = {}};
      text += "---\n" + head("discovery.k8s.io/v1", "EndpointSlice", metadata) +
              culvert::format("addressType: {}\nports:\n", v6 ? "IPv6" : "IPv4");
      for (std::size_t i = 0; i < ports.size(); ++i) {
        if (ports[i] == 0) continue;
        const auto& port = plan.service.ports[i];
        text +=
            culvert::format("- name: {}\n  port: {}\n  protocol: {}\n", in_quotes(port.name), ports[i], protocol(port.transport));
      }
      text += "endpoints:\n";
      for (const auto* pod : pods) {
        const bool is_ready = ready.contains(pod->name());
        text += culvert::format(
            "- addresses: [{}]\n  conditions: {{ ready: {}, serving: {}, terminating: false }}\n  nodeName: {}\n"
            "  targetRef: {{ kind: Pod, namespace: {}, name: {} }}\n",
            in_quotes((v6 ? pod->addresses.v6 : pod->addresses.v4).text()), is_ready || plan.service.publish_not_ready, is_ready,
            pod->spec.node_name, in_quotes(pod->metadata.name_space), in_quotes(pod->metadata.name));
      }
    }
  }
  return text;
}

bool is_kept(config::Kind kind) {
  return config::is_policy(kind) || kind == config::Kind::kNamespace || kind == config::Kind::kServiceAccount;
}

// Documents that cannot even be read stay too: one of them may be a policy, and culvertd says what is wrong with it.
bool is_kept(std::string_view file, std::string_view document) {
  const auto parsed = config::parse_yaml(file, document);
  return std::ranges::any_of(parsed.objects, [](const auto& object) { return is_kept(config::kind_of(*object.object)); }) ||
         std::ranges::any_of(parsed.broken, [](const auto& broken) { return !broken.key || is_kept(broken.key->kind); });
}

}  // namespace

std::string in_quotes(std::string_view text) {
  std::string result = "\"";
  for (const char letter : text) {
    if (letter == '"' || letter == '\\') result += '\\';
    if (static_cast<unsigned char>(letter) < 0x20) {
      result += culvert::format("\\u{:04x}", static_cast<unsigned>(letter));
    } else {
      result += letter;
    }
  }
  return result + '"';
}

std::set<PodName> ready_pods(const PodStates& states) {
  std::set<PodName> ready;
  for (const auto& [name, state] : states) {
    if (state.ready) ready.insert(name);
  }
  return ready;
}

std::string keep_policies(std::string_view file, std::string_view text) {
  std::string result, document;
  bool any = false;
  const auto flush = [&] {
    const bool keep = document.find_first_not_of(" \n") != std::string::npos && is_kept(file, document);
    any = any || keep;
    if (keep) {
      result += document;
    } else {
      result.append(static_cast<std::size_t>(std::ranges::count(document, '\n')), '\n');
    }
    document.clear();
  };
  while (!text.empty()) {
    const auto end = text.find('\n');
    const auto line = text.substr(0, end);
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
    if (line.starts_with("---")) flush();
    if (line == "---") {
      result += "---\n";
    } else {  // a document may begin on that line
      document.append(line).append("\n");
    }
  }
  flush();
  return any ? result : std::string();
}

std::map<std::string, std::string> render_objects(const Layout& layout, const PodStates& states) {
  std::map<std::string, std::string> files;
  const auto ready = ready_pods(states);
  for (const auto& [name, pod] : layout.pods) {
    const auto state = states.find(name);
    if (state == states.end()) continue;
    files[culvert::format("culvert-pod-{}-{}.yaml", name.name_space, name.name)] = render_pod(pod, state->second);
  }
  for (const auto& [name, service] : layout.services) {
    files[culvert::format("culvert-service-{}-{}.yaml", name.name_space, name.name)] =
        render_service(service) + render_slices(layout, service, ready);
  }
  return files;
}

std::string render_services(const Layout& layout, const std::set<PodName>& ready) {
  std::string rules;
  for (const auto& [name, plan] : layout.services) {
    const auto pods = backends(layout, plan, ready);
    for (std::size_t i = 0; i < plan.service.ports.size(); ++i) {
      const auto& port = plan.service.ports[i];
      for (const auto* address : {&plan.addresses.v4, &plan.addresses.v6}) {
        if (address->is_none()) continue;
        std::string choices;
        int count = 0;
        for (const auto& backend : pods) {
          if (backend.ports[i] == 0) continue;
          const auto& target = address->is_v4() ? backend.pod->addresses.v4 : backend.pod->addresses.v6;
          choices += culvert::format("{}{} : {} . {}", count == 0 ? "" : ", ", count, target.text(), backend.ports[i]);
          ++count;
        }
        if (count == 0) continue;
        const char* family = address->is_v4() ? "ip" : "ip6";
        rules += culvert::format("    {0} daddr {1} {2} dport {3} dnat {0} addr . port to numgen random mod {4} map {{ {5} }}\n",
                                 family, address->text(), port.transport == config::Transport::kUdp ? "udp" : "tcp", port.port,
                                 count, choices);
      }
    }
  }
  std::string own4, own6;  // a pod that reaches itself through a service needs another source
  for (const auto& [name, pod] : layout.pods) {
    if (pod.spec.host_network) continue;
    own4 += culvert::format("{}{} . {}", own4.empty() ? "" : ", ", pod.addresses.v4.text(), pod.addresses.v4.text());
    own6 += culvert::format("{}{} . {}", own6.empty() ? "" : ", ", pod.addresses.v6.text(), pod.addresses.v6.text());
  }
  std::string hairpin;
  if (!own4.empty()) {
    hairpin = culvert::format(
        "    ct status dnat ip saddr . ip daddr {{ {} }} masquerade\n    ct status dnat ip6 saddr . ip6 daddr {{ {} }} "
        "masquerade\n",
        own4, own6);
  }
  return culvert::format(
      "table inet culvert_services\ndelete table inet culvert_services\ntable inet culvert_services {{\n"
      "  chain services {{\n{}  }}\n"
      "  chain prerouting {{ type nat hook prerouting priority dstnat; jump services; }}\n"
      "  chain output {{ type nat hook output priority dstnat; jump services; }}\n"
      "  chain postrouting {{ type nat hook postrouting priority srcnat;\n{}  }}\n"
      "  chain refusal {{ meta l4proto tcp reject with tcp reset; reject with icmpx port-unreachable; }}\n"
      "  chain refuse {{\n"
      "    ip daddr 10.96.0.0/16 ip daddr != 10.96.0.10 jump refusal\n"
      "    ip6 daddr fd00:10:96::/112 ip6 daddr != fd00:10:96::a jump refusal\n"
      "  }}\n"
      "  chain forward {{ type filter hook forward priority filter; jump refuse; }}\n"
      "  chain local {{ type filter hook output priority filter; jump refuse; }}\n"
      "}}\n",
      rules, hairpin);
}

std::string render_zone(const Layout& layout, const std::set<PodName>& ready) {
  std::string zone;
  const auto put = [&](const std::string& name, const Addresses& addresses) {
    if (!addresses.v4.is_none()) zone += culvert::format("{} A {}\n", name, addresses.v4.text());
    if (!addresses.v6.is_none()) zone += culvert::format("{} AAAA {}\n", name, addresses.v6.text());
  };
  for (const char* name : {"istiod", "culvertd"})
    put(culvert::format("{}.{}.svc.{}", name, kRootNamespace, kClusterDomain), control_addresses());
  put(culvert::format("kube-dns.kube-system.svc.{}", kClusterDomain), dns_addresses());
  for (const auto& [name, plan] : layout.services) {
    const std::string full = culvert::format("{}.{}.svc.{}", name.name, name.name_space, kClusterDomain);
    zone += full + " NAME .\n";  // it exists, whether or not it has an address
    put(full, plan.addresses);
    for (const auto& port : plan.service.ports) {
      if (port.name.empty()) continue;
      zone += culvert::format("_{}._{}.{} SRV {} {}\n", port.name, port.transport == config::Transport::kUdp ? "udp" : "tcp",
                              full, port.port, full);
    }
    if (!plan.service.headless) continue;
    for (const auto& backend : backends(layout, plan, ready)) {
      put(full, backend.pod->addresses);
      if (backend.pod->spec.on_node->subdomain != name.name) continue;
      const auto& host = backend.pod->spec.on_node->hostname;
      put((host.empty() ? backend.pod->metadata.name : host) + "." + full, backend.pod->addresses);
    }
  }
  for (const auto& [name, pod] : layout.pods) {
    std::string dashed = pod.addresses.v4.text(), dashed6 = pod.addresses.v6.text();
    std::ranges::replace(dashed, '.', '-');
    std::ranges::replace(dashed6, ':', '-');
    put(culvert::format("{}.{}.pod.{}", dashed, name.name_space, kClusterDomain), {pod.addresses.v4, {}});
    put(culvert::format("{}.{}.pod.{}", dashed6, name.name_space, kClusterDomain), {{}, pod.addresses.v6});
  }
  return zone;
}

std::string render_hosts(const std::string& hostname, const Addresses& own, bool node) {
  std::string text = culvert::format("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n{0} {2}\n{1} {2}\n",
                                     own.v4.text(), own.v6.text(), hostname);
  if (node) text += culvert::format("{0} istiod.{1}.svc culvertd.{1}.svc\n", control_addresses().v4.text(), kRootNamespace);
  return text;
}

std::string render_resolv_conf(const std::string& name_space) {
  const std::string own = name_space.empty() ? "" : culvert::format("{}.svc.{} ", name_space, kClusterDomain);
  return culvert::format("search {0}svc.{1} {1}\nnameserver {2}\noptions ndots:5\n", own, kClusterDomain,
                         dns_addresses().v4.text());
}

}  // namespace culvert::local
