// Pods, and what makes pods.
#include <algorithm>
#include <iterator>
#include <limits>

#include "common/config/read.h"

namespace culvert::config {
namespace {

Probe read_probe(Fields& fields) {
  constexpr int kMost = std::numeric_limits<std::int32_t>::max();
  const auto seconds = [&](std::string_view name, int least, int fallback) {
    return static_cast<int>(fields.number(name, least, kMost, fallback));
  };
  Probe probe;
  fields.map("httpGet", [&](Fields& get) {
    probe.http_get = {
        .path = get.text("path", "/"), .port = get.port_ref("port").value_or(PortRef{}), .scheme = "", .host = get.text("host")};
    probe.http_get->scheme = get.choice<std::string>("scheme", "HTTP", {{"HTTP", "HTTP"}, {"HTTPS", "HTTPS"}});
    get.require("port", "write the number or the name of a port");
  });
  fields.map("tcpSocket", [&](Fields& socket) {
    socket.require("port", "write the number or the name of a port");
    probe.tcp_socket = socket.port_ref("port").value_or(PortRef{});
  });
  fields.map("exec", [&](Fields& exec) { probe.exec = exec.texts("command"); });
  probe.initial_delay_seconds = seconds("initialDelaySeconds", 0, 0);
  probe.period_seconds = seconds("periodSeconds", 1, 10);
  probe.timeout_seconds = seconds("timeoutSeconds", 1, 1);
  probe.success_threshold = seconds("successThreshold", 1, 1);
  probe.failure_threshold = seconds("failureThreshold", 1, 3);
  return probe;
}

EnvVar read_env(Fields& fields) {
  fields.require("name", "write the variable's name");
  EnvVar variable{.name = fields.text("name"), .value = fields.text("value"), .field_path = ""};
  fields.map("valueFrom", [&](Fields& from) {
    from.map("fieldRef", [&](Fields& ref) {
      ref.skip({"apiVersion"});
      variable.field_path = ref.text("fieldPath");
    });
  });
  return variable;
}

Container read_container(Fields& fields) {
  Container container;
  fields.require("name", "every container needs a name");
  container.name = fields.text("name");
  container.image = fields.text("image");
  container.command = fields.texts("command");
  container.args = fields.texts("args");
  container.working_dir = fields.text("workingDir");
  fields.each("env", [&](Fields& variable) { container.env.push_back(read_env(variable)); });
  fields.each("ports", [&](Fields& port) {
    port.require("containerPort", "write the port's number");
    container.ports.push_back({port.text("name"), port.port("containerPort"), read_transport(port)});
  });
  fields.map("readinessProbe", [&](Fields& probe) { container.readiness = read_probe(probe); });
  fields.each("volumeMounts", [&](Fields& mount) {
    container.mounts.push_back({mount.text("name"), mount.text("mountPath"), mount.text("subPath"), mount.flag("readOnly")});
  });
  return container;
}

Volume read_volume(Fields& fields) {
  Volume volume;
  volume.name = fields.text("name");
  fields.map("configMap", [&](Fields& map) {
    map.require("name", "write the name of a ConfigMap");
    volume.config_map = map.text("name");
    map.each("items", [&](Fields& item) { volume.items.push_back({item.text("key"), item.text("path")}); });
  });
  volume.empty_dir = fields.map("emptyDir", [](Fields&) {});
  return volume;
}

void read_pod_status(Fields& status, Pod& pod) {
  using enum PodPhase;
  pod.phase = status.choice<PodPhase>(
      "phase", kUnknown,
      {{"Pending", kPending}, {"Running", kRunning}, {"Succeeded", kSucceeded}, {"Failed", kFailed}, {"Unknown", kUnknown}});
  const auto single = status.address("podIP");
  status.each("podIPs", [&](Fields& fields) {
    if (const auto address = fields.address("ip")) pod.addresses.push_back(*address);
  });
  if (pod.addresses.empty() && single) pod.addresses.push_back(*single);
  status.each("conditions", [&](Fields& condition) {
    if (condition.text("type") == "Ready") pod.ready = condition.text("status") == "True";
  });
}

PodTemplate read_template(Fields& spec) {
  PodTemplate pods;
  spec.require("template", "write the pods' metadata.labels and spec");
  spec.map("template", [&](Fields& fields) {
    fields.map("metadata", [&](Fields& metadata) {
      metadata.skip({"creationTimestamp"});
      pods.metadata.labels = metadata.labels("labels");
      pods.metadata.annotations = metadata.labels("annotations");
    });
    fields.require("spec", "write the pods' spec");
    fields.map("spec", [&](Fields& pod) { pods.spec = read_pod_spec(pod); });
  });
  return pods;
}

// What Deployment and StatefulSet have in common.
template <class Set>
void read_set(Fields& spec, Set& set) {
  set.replicas = static_cast<int>(spec.number("replicas", 0, 100'000, 1));
  spec.require("selector", "write selector.matchLabels, equal to the labels of the template");
  spec.map("selector", [&](Fields& selector) { set.selector = selector.labels("matchLabels"); });
  set.pods = read_template(spec);
  if (!selects(set.selector, set.pods->metadata.labels)) spec.wrong("selector", "does not select the pods of its own template");
}

}  // namespace

PodSpec read_pod_spec(Fields& spec) {
  PodSpec pod;
  pod.node_name = spec.text("nodeName");
  const std::string old_name =
      spec.text("serviceAccount");  // what serviceAccountName was called before, still in what kubectl prints
  pod.service_account = spec.text("serviceAccountName", old_name.empty() ? "default" : old_name);
  pod.host_network = spec.flag("hostNetwork");
  pod.host_users = spec.flag("hostUsers", true);
  if (!pod.host_users) spec.not_followed("hostUsers");
  PodSpec::OnNode on_node;
  on_node.hostname = spec.text("hostname");
  on_node.subdomain = spec.text("subdomain");
  std::vector<Container> containers;
  spec.each("containers", [&](Fields& container) { containers.push_back(read_container(container)); });
  pod.containers = std::move(containers);
  on_node.dialled = read_dialled(spec.find("containers"));
  if (const auto* const first = spec.find("initContainers")) {
    std::ranges::move(read_dialled(first), std::back_inserter(on_node.dialled));
    spec.not_followed("initContainers");
  }
  spec.each("volumes", [&](Fields& volume) { on_node.volumes.push_back(read_volume(volume)); });
  pod.on_node = std::move(on_node);
  return pod;
}

Object read_pod(Fields& object, Metadata metadata) {
  Pod pod{.metadata = std::move(metadata), .spec = {}, .phase = PodPhase::kUnknown, .ready = false, .addresses = {}};
  object.map("spec", [&](Fields& spec) { pod.spec = read_pod_spec(spec); });
  object.map("status", [&](Fields& status) { read_pod_status(status, pod); });
  return pod;
}

Object read_deployment(Fields& object, Metadata metadata) {
  Deployment deployment;
  deployment.metadata = std::move(metadata);
  object.skip({"status"});
  object.require("spec", "write selector and template");
  object.map("spec", [&](Fields& spec) { read_set(spec, deployment); });
  return deployment;
}

Object read_stateful_set(Fields& object, Metadata metadata) {
  StatefulSet set;
  set.metadata = std::move(metadata);
  object.skip({"status"});
  object.require("spec", "write selector, serviceName and template");
  object.map("spec", [&](Fields& spec) {
    set.service_name = spec.text("serviceName");
    read_set(spec, set);
  });
  return set;
}

}  // namespace culvert::config
