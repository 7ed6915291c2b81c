#include "cli/local/layout.h"

#include <algorithm>
#include <ranges>
#include <variant>

#include "common/base/format.h"

namespace culvert::local {
namespace {

using config::Kind;
using config::Problem;

constexpr int kHosts = 250;  // of a node, from .2 on
constexpr const char* kLabelHint = "use at most 63 letters a to z, digits and inner dashes";
constexpr std::string_view kExcludedNamespace = "kube-system";  // by the node agent, as long as nobody tells it otherwise

// A path that leads, or may lead, out of the folder that it is meant to stay in.
bool leaves_its_folder(std::string_view path) {
  return std::ranges::any_of(std::views::split(path, '/'), [](const auto& part) { return std::string_view(part) == ".."; });
}

// Kubernetes' own rule.
bool is_config_map_key(std::string_view key) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
  };
  return !key.empty() && key.size() <= 253 && std::ranges::all_of(key, fits) && key != "." && !key.starts_with("..");
}

PodName name_of(const config::Metadata& metadata) { return {metadata.name_space, metadata.name}; }

// One run of lay_out: what it has so far, and what it complains about.
class Planner {
 public:
  Planner(int nodes, const Layout& before) : before_(before) {
    layout_.nodes = nodes;
    layout_.next_host = before.next_host;
    layout_.next_service = before.next_service;
    for (const char* name : {"default", "kube-system", "istio-system"}) layout_.namespaces.insert(name);
  }

  Plan run(const Folder& folder) {
    for (const auto& parsed : folder.objects) take(parsed);
    for (const auto& parsed : folder.objects) expand_workload(parsed);
    place_pods();
    address_services();
    for (const auto& [name, pod] : layout_.pods) check_pod(pod);
    return {std::move(layout_), std::move(problems_)};
  }

 private:
  void take(const config::Parsed& parsed) {
    const auto key = config::key_of(*parsed.object);
    if (const auto [entry, fresh] = seen_.emplace(key, parsed.place); !fresh) {
      return complain(parsed, "", "stands in " + entry->second.text() + " already", "remove one of the two");
    }
    std::visit([&](const auto& object) { note(parsed, object); }, *parsed.object);
  }

  void note(const config::Parsed&, const config::Namespace& object) {
    layout_.namespaces.insert(object.metadata.name);
    if (config::value_of(object.metadata.labels, "istio.io/dataplane-mode") == "ambient")
      layout_.ambient.insert(object.metadata.name);
  }
  void note(const config::Parsed&, const config::ServiceAccount& object) { accounts_.insert(name_of(object.metadata)); }
  void note(const config::Parsed& parsed, const config::ConfigMap& object) {
    for (const auto& [key, text] : object.data) {
      if (!is_config_map_key(key))
        complain(parsed, "data[" + key + "]", "is no key of a ConfigMap",
                 "use at most 253 letters, digits, '-', '_' and '.', not \".\" alone and no \"..\" at its beginning");
    }
    layout_.config_maps[name_of(object.metadata)] = object;
  }
  void note(const config::Parsed& parsed, const config::Service& object) { services_.emplace_back(&parsed, &object); }
  template <class Object>
  void note(const config::Parsed&, const Object&) {}

  void expand_workload(const config::Parsed& parsed) {
    if (const auto* pod = std::get_if<config::Pod>(parsed.object.get())) return want(parsed, pod->metadata, pod->spec);
    if (const auto* deployment = std::get_if<config::Deployment>(parsed.object.get())) {
      if (!config::selects(deployment->selector, deployment->pods->metadata.labels) || deployment->selector.empty()) {
        complain(parsed, "spec.selector", "does not select the pods of spec.template", "use the same labels");
      }
      return want_replicas(parsed, "Deployment", deployment->metadata, deployment->replicas, deployment->pods);
    }
    if (const auto* set = std::get_if<config::StatefulSet>(parsed.object.get())) {
      config::PodTemplate pods = *set->pods;
      pods.spec.on_node->subdomain = set->service_name;
      want_replicas(parsed, "StatefulSet", set->metadata, set->replicas, pods);
    }
  }

  void want_replicas(const config::Parsed& parsed, const char* kind, const config::Metadata& owner, int replicas,
                     const config::PodTemplate& pods) {
    for (int replica = 0; replica < replicas; ++replica) {
      auto metadata = pods.metadata;
      metadata.name = culvert::format("{}-{}", owner.name, replica);
      metadata.name_space = owner.name_space;
      metadata.owners = {{.kind = kind, .name = owner.name, .controller = true}};
      want(parsed, metadata, pods.spec);
    }
  }

  void want(const config::Parsed& parsed, const config::Metadata& metadata, const config::PodSpec& spec) {
    PodPlan pod{.metadata = metadata, .spec = spec, .addresses = {}, .place = parsed.place};
    if (const auto [entry, fresh] = layout_.pods.emplace(pod.name(), pod); !fresh) {
      complain(parsed, "", "its pod " + pod.name().text() + " is the same as one of " + entry->second.place.text(),
               "rename one of the two");
    }
  }

  // First whoever stays where he was, then the others: on the node they name, or where there are fewest.
  void place_pods() {
    std::array<int, kMaxNodes + 1> count{};
    std::array<std::set<int>, kMaxNodes + 1> taken;
    const auto settle = [&](PodPlan& pod, int node, int host) {
      pod.node = node;
      pod.host = pod.spec.host_network ? 0 : host;
      pod.addresses = pod.spec.host_network ? node_addresses(node) : pod_addresses(node, host);
      pod.spec.node_name = node_name(node);
      ++count[static_cast<std::size_t>(node)];
      taken[static_cast<std::size_t>(node)].insert(host);
    };
    for (auto& [name, pod] : layout_.pods) {
      const auto old = before_.pods.find(name);
      if (old == before_.pods.end() || old->second.spec.host_network != pod.spec.host_network) continue;
      if (pod.spec.node_name.empty() || pod.spec.node_name == node_name(old->second.node))
        settle(pod, old->second.node, old->second.host);
    }
    for (const bool asking : {true, false}) {  // who wants a certain address has it before somebody else is given it
      for (auto& [name, pod] : layout_.pods) {
        if (pod.node != 0 || config::value_of(pod.metadata.annotations, kPodIpAnnotation).empty() == asking) continue;
        const auto node = choose_node(pod, count);
        if (!node) continue;
        const auto& others = taken[static_cast<std::size_t>(*node)];
        const auto host = [&] { return asking ? asked_host(pod, *node, others) : free_host(pod, *node, others); };
        settle(pod, *node, pod.spec.host_network ? 0 : host());
      }
    }
  }

  // The one of the address that the annotation names, in either family; 0 when the pod cannot have it.
  int asked_host(const PodPlan& pod, int node, const std::set<int>& taken) {
    const auto text = config::value_of(pod.metadata.annotations, kPodIpAnnotation);
    const std::string field = culvert::format("metadata.annotations[{}]", kPodIpAnnotation);
    const auto address = IpAddress::parse(text);
    for (int host = 2; address && host < 2 + kHosts; ++host) {
      const auto addresses = pod_addresses(node, host);
      if (addresses.v4 != *address && addresses.v6 != *address) continue;
      if (!taken.contains(host)) return host;
      complain(pod, field, culvert::format("{} is another pod's", text), "name a free one, or none");
      return 0;
    }
    complain(
        pod, field, culvert::format("{} is no address of a pod of {}", text, node_name(node)),
        culvert::format("name one from {} to {}", pod_addresses(node, 2).v4.text(), pod_addresses(node, 1 + kHosts).v4.text()));
    return 0;
  }

  std::optional<int> choose_node(const PodPlan& pod, const std::array<int, kMaxNodes + 1>& count) {
    if (pod.spec.node_name.empty())
      return static_cast<int>(std::min_element(count.begin() + 1, count.begin() + 1 + layout_.nodes) - count.begin());
    const auto node = node_number(pod.spec.node_name, layout_.nodes);
    if (!node)
      complain(pod, "spec.nodeName", "no node is called " + pod.spec.node_name,
               culvert::format("nodes are node1 to {}", node_name(layout_.nodes)));
    return node;
  }

  // Addresses go round, so that one that has just become free is not given away at once.
  int free_host(const PodPlan& pod, int node, const std::set<int>& taken) {
    auto& next = layout_.next_host[static_cast<std::size_t>(node)];
    for (int tried = 0; tried < kHosts; ++tried) {
      const int host = 2 + next++ % kHosts;
      if (!taken.contains(host)) return host;
    }
    complain(pod, "", culvert::format("{} has no free pod address: {} pods", node_name(node), taken.size()),
             "use more nodes (--nodes)");
    return 0;
  }

  void address_services() {
    std::set<int> taken{10};
    for (const auto& [name, plan] : before_.services) taken.insert(plan.number);
    for (const auto& [parsed, service] : services_) {
      ServicePlan plan{.service = *service, .addresses = {}};
      if (!service->headless) give_address(plan, taken);
      if (service->type != config::Service::Type::kClusterIp)
        complain(*parsed, "spec.type", "only ClusterIP is honoured", "leave it out");
      if (service->internal_traffic_local)
        complain(*parsed, "spec.internalTrafficPolicy", "Local is not honoured", "leave it out, or write Cluster");
      layout_.services[name_of(service->metadata)] = std::move(plan);
    }
  }

  void give_address(ServicePlan& plan, std::set<int>& taken) {
    for (const auto& address : plan.service.cluster_ips) (address.is_v4() ? plan.addresses.v4 : plan.addresses.v6) = address;
    if (!plan.service.cluster_ips.empty()) return;
    const auto old = before_.services.find(name_of(plan.service.metadata));
    if (old != before_.services.end()) plan.number = old->second.number;
    while (plan.number == 0) {
      const int number = 256 + layout_.next_service++ % 60000;
      if (taken.insert(number).second) plan.number = number;
    }
    const auto has = [&](config::IpFamily family) {
      return plan.service.ip_families.empty() || std::ranges::contains(plan.service.ip_families, family);
    };
    if (has(config::IpFamily::kIpv4)) plan.addresses.v4 = IpAddress::v4(0x0a600000U + static_cast<unsigned>(plan.number));
    if (has(config::IpFamily::kIpv6)) plan.addresses.v6 = *IpAddress::parse(culvert::format("fd00:10:96::{:x}", plan.number));
  }

  void check_pod(const PodPlan& pod) {
    if (!layout_.namespaces.contains(pod.metadata.name_space))
      complain(pod, "metadata.namespace", "no such namespace", "write the Namespace too");
    const auto& account = pod.spec.service_account;
    if (account != "default" && !accounts_.contains({pod.metadata.name_space, account})) {
      complain(pod, "spec.serviceAccountName", "there is no ServiceAccount " + account + " in the namespace", "write one");
    }
    for (const auto& volume : pod.spec.on_node->volumes) {
      if (!is_label(volume.name)) complain(pod, "spec.volumes[" + volume.name + "].name", "is no name", kLabelHint);
      if (volume.empty_dir || layout_.config_maps.contains({pod.metadata.name_space, volume.config_map})) continue;
      complain(
          pod, "spec.volumes[" + volume.name + "]",
          volume.config_map.empty() ? "only configMap and emptyDir are honoured" : "there is no ConfigMap " + volume.config_map,
          "");
    }
    for (const auto& volume : pod.spec.on_node->volumes) {
      for (const auto& item : volume.items) {
        if (leaves_its_folder(item.path) || item.path.empty() || item.path.starts_with('/') || item.path.starts_with(".."))
          complain(pod, "spec.volumes[" + volume.name + "].configMap.items[" + item.key + "].path",
                   "must be a path below the volume", "without .. and without a / or .. at its beginning");
      }
    }
    if (pod.spec.containers.empty()) complain(pod, "spec.containers", "is empty", "a pod is one container at least");
    for (const auto& container : pod.spec.containers) check_container(pod, container);
  }

  void check_container(const PodPlan& pod, const config::Container& container) {
    const std::string field = "spec.containers[" + container.name + "]";
    if (!is_label(container.name)) complain(pod, field + ".name", "is no name", kLabelHint);
    if (container.command.empty()) complain(pod, field + ".command", "is missing", "an image's own command is not known here");
    for (const auto& mount : container.mounts) {
      const bool known =
          std::ranges::any_of(pod.spec.on_node->volumes, [&](const auto& volume) { return volume.name == mount.volume; });
      if (!known) complain(pod, field + ".volumeMounts", "there is no volume " + mount.volume, "");
      if (!mount.mount_path.starts_with('/') || leaves_its_folder(mount.mount_path))
        complain(pod, field + ".volumeMounts[" + mount.volume + "].mountPath", "must be an absolute path without ..", "");
      if (mount.sub_path.starts_with('/') || leaves_its_folder(mount.sub_path))
        complain(pod, field + ".volumeMounts[" + mount.volume + "].subPath", "must be a path below the volume, without ..", "");
    }
    static const std::set<std::string, std::less<>> kFields = {
        "metadata.name",           "metadata.namespace", "metadata.uid",  "spec.nodeName",
        "spec.serviceAccountName", "status.podIP",       "status.podIPs", "status.hostIP"};
    for (const auto& variable : container.env) {
      if (variable.field_path.empty() || kFields.contains(variable.field_path)) continue;
      complain(pod, field + ".env[" + variable.name + "]", "fieldPath " + variable.field_path + " is not honoured", "");
    }
    if (container.readiness && container.readiness->http_get && container.readiness->http_get->scheme != "HTTP") {
      complain(pod, field + ".readinessProbe.httpGet.scheme", "only HTTP is honoured", "");
    }
  }

  void complain(const config::Parsed& parsed, std::string field, std::string what, std::string hint) {
    problems_.push_back(
        {parsed.place, config::key_of(*parsed.object).text(), std::move(field), std::move(what), std::move(hint)});
  }
  void complain(const PodPlan& pod, std::string field, std::string what, std::string hint) {
    problems_.push_back({pod.place, "Pod " + pod.name().text(), std::move(field), std::move(what), std::move(hint)});
  }

  const Layout& before_;
  Layout layout_;
  std::vector<Problem> problems_;
  std::map<config::Key, config::Place> seen_;
  std::set<PodName> accounts_;
  std::vector<std::pair<const config::Parsed*, const config::Service*>> services_;
};

// What culvert local makes itself.
bool is_made_here(Kind kind) { return kind == Kind::kNode || kind == Kind::kEndpointSlice; }
// What would do nothing, without a word.
bool is_not_honoured(Kind kind) { return kind > Kind::kAuthorizationPolicy; }

void sort_problem(Folder& folder, Problem problem, bool policy) {
  (policy ? folder.policies : folder.problems).push_back(std::move(problem));
}

}  // namespace

Folder read_folder(const std::map<std::string, std::string>& files) {
  Folder folder;
  for (const auto& [name, text] : files) {
    auto parsed = config::parse_yaml(name, text);
    for (auto& broken : parsed.broken) {
      const bool policy = broken.key && config::is_policy(broken.key->kind);
      for (auto& problem : broken.problems) sort_problem(folder, std::move(problem), policy);
    }
    for (const auto& ignored : parsed.ignored) {
      folder.problems.push_back(
          {ignored.place, ignored.kind + " " + ignored.name, "kind", "is not honoured here", "remove the document"});
    }
    for (auto& object : parsed.objects) {
      const auto key = config::key_of(*object.object);
      if (is_made_here(key.kind))
        folder.problems.push_back({object.place, key.text(), "kind", "is made by culvert local itself", "remove the document"});
      if (is_not_honoured(key.kind))
        folder.problems.push_back({object.place, key.text(), "kind", "is not honoured here", "remove the document"});
      std::ranges::move(object.unread, std::back_inserter(folder.problems));
      folder.objects.push_back(std::move(object));
    }
  }
  return folder;
}

Plan lay_out(const Folder& folder, int nodes, const Layout& before) { return Planner(nodes, before).run(folder); }

std::vector<Backend> backends(const Layout& layout, const ServicePlan& plan, const std::set<PodName>& ready) {
  std::vector<Backend> found;
  const auto& service = plan.service;
  if (service.selector.empty()) return found;
  for (const auto& [name, pod] : layout.pods) {
    if (name.name_space != service.metadata.name_space || !config::selects(service.selector, pod.metadata.labels)) continue;
    if (!ready.contains(name) && !service.publish_not_ready) continue;
    Backend backend{.pod = &pod, .ports = {}};
    for (const auto& port : service.ports) {
      std::uint16_t number = port.target.number;
      for (const auto& container : pod.spec.containers) {
        for (const auto& offered : container.ports) {
          if (number == 0 && !port.target.name.empty() && offered.name == port.target.name) number = offered.port;
        }
      }
      backend.ports.push_back(number);
    }
    found.push_back(std::move(backend));
  }
  return found;
}

bool is_label(std::string_view name) {
  const auto fits = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
  return !name.empty() && name.size() <= 63 && std::ranges::all_of(name, fits) && name.front() != '-' && name.back() != '-';
}

std::string_view why_outside(const Layout& layout, const PodPlan& pod) {
  const auto& metadata = pod.metadata;
  const auto mode = config::value_of(metadata.labels, "istio.io/dataplane-mode");
  if (pod.spec.host_network) return "hostNetwork";
  if (mode == "none" || (mode != "ambient" && !layout.ambient.contains(metadata.name_space))) return "not asked for";
  if (metadata.name_space == kExcludedNamespace) return "its namespace is excluded";
  if (metadata.annotations->contains("sidecar.istio.io/status")) return "it has a sidecar";
  return "";
}

std::string expand(std::string_view text, const std::map<std::string, std::string>& values) {
  std::string result;
  while (!text.empty()) {
    const auto dollar = text.find('$');
    result += text.substr(0, dollar);
    if (dollar == text.npos) break;
    text.remove_prefix(dollar);
    const auto end = text.find(')');
    const auto known =
        text.starts_with("$(") && end != text.npos ? values.find(std::string(text.substr(2, end - 2))) : values.end();
    const std::size_t used = known != values.end() ? end + 1 : text.starts_with("$$") ? 2 : 1;
    result += known != values.end() ? std::string_view(known->second) : text.substr(0, 1);
    text.remove_prefix(used);
  }
  return result;
}

std::map<std::string, std::string> environment(const PodPlan& pod, const config::Container& container, std::string_view uid) {
  const std::map<std::string, std::string, std::less<>> fields = {
      {"metadata.name", pod.metadata.name},
      {"metadata.namespace", pod.metadata.name_space},
      {"metadata.uid", std::string(uid)},
      {"spec.nodeName", pod.spec.node_name},
      {"spec.serviceAccountName", pod.spec.service_account},
      {"status.podIP", pod.addresses.v4.text()},
      {"status.podIPs", pod.addresses.v4.text() + "," + pod.addresses.v6.text()},
      {"status.hostIP", node_addresses(pod.node).v4.text()},
  };
  std::map<std::string, std::string> values = {
      {"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
      {"HOME", "/root"},
      {"LANG", "C.UTF-8"},
      {"HOSTNAME", pod.spec.on_node->hostname.empty() ? pod.metadata.name : pod.spec.on_node->hostname}};
  for (const auto& variable : container.env) {
    values[variable.name] =
        variable.field_path.empty() ? expand(variable.value, values) : fields.find(variable.field_path)->second;
  }
  return values;
}

}  // namespace culvert::local
