#include "controlplane/remains.h"

#include <algorithm>

#include "common/kube/traces.h"

namespace culvert::controlplane {
namespace {

namespace json = boost::json;

const json::value* at(const json::value& in, std::string_view pointer) {
  boost::system::error_code error;
  return in.find_pointer(pointer, error);
}

std::string text_at(const json::value& in, std::string_view pointer) {
  const auto* value = at(in, pointer);
  return value != nullptr && value->is_string() ? std::string(value->as_string()) : std::string();
}

// What the condition Ready says: True, False (the kubelet says so itself), Unknown (it is not heard of); empty: there is no such node.
std::string readiness(const json::array& nodes, std::string_view name) {
  const auto node = std::ranges::find_if(nodes, [&](const json::value& each) { return text_at(each, "/metadata/name") == name; });
  if (node == nodes.end()) return "";
  const auto* conditions = at(*node, "/status/conditions");
  if (conditions == nullptr || !conditions->is_array()) return "Unknown";
  for (const json::value& each : conditions->as_array())
    if (text_at(each, "/type") == "Ready") return text_at(each, "/status");
  return "Unknown";
}

// Its API server is another one, and so is what it has written.
bool is_for_another_cluster(const json::value& deployment) {
  const auto* args = at(deployment, "/spec/template/spec/containers/0/args");
  return args != nullptr && args->is_array() && std::ranges::any_of(args->as_array(), [](const json::value& each) {
           return each.is_string() && each.as_string().starts_with("--kubeconfig");
         });
}

}  // namespace

AgentsLeft agents_left(const json::array& pods, const json::array& nodes, std::string_view now) {
  AgentsLeft left;
  for (const json::value& pod : pods) {
    const std::string node = text_at(pod, "/spec/nodeName"), ends = text_at(pod, "/metadata/deletionTimestamp");
    const std::string ready = readiness(nodes, node);
    const bool late = ready == "False" && !ends.empty() && ends < now;
    const bool lost = !node.empty() && (ready.empty() || ready == "Unknown" || late);
    (lost ? left.lost : left.awaited).push_back(node);
  }
  return left;
}

std::string Others::text() const {
  std::string out;
  for (const auto* all : {&here, &elsewhere})
    for (const std::string& each : *all) out += (out.empty() ? "" : ", ") + each;
  return out;
}

Others others_of(const json::array& deployments, std::string_view ns) {
  Others others;
  for (const json::value& each : deployments) {
    if (at(each, "/metadata/deletionTimestamp") != nullptr || is_for_another_cluster(each)) continue;
    const std::string its = text_at(each, "/metadata/namespace");
    (its == ns ? others.here : others.elsewhere).push_back("Deployment " + its + "/" + text_at(each, "/metadata/name"));
    if (its == ns) others.revisions.push_back(text_at(each, "/metadata/labels/istio.io~1rev"));
  }
  return others;
}

bool is_needed(const Others& others, const kube::Place& place, std::string_view ns) {
  if (!others.here.empty()) return true;
  return !others.elsewhere.empty() && (place.ns != ns || place.name == kube::root_config_map({}).name);
}

bool is_served(const Others& others, const json::value& service) {
  const std::string revision = text_at(service, "/spec/selector/istio.io~1rev");
  return !revision.empty() && std::ranges::contains(others.revisions, revision);
}

}  // namespace culvert::controlplane
