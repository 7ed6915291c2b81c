#include "common/derive/doubts.h"

#include <algorithm>
#include <iterator>
#include <set>

#include "common/derive/authorization.h"
#include "common/derive/peer_authentication.h"
#include "common/derive/service.h"

namespace culvert::derive {
namespace {

using config::Kind;
using Texts = std::vector<std::string>;

bool selects_a_pod(const config::Labels& selector, const std::string& name_space, const Objects& objects) {
  return std::ranges::any_of(objects.in(Kind::kPod, name_space), [&](const auto& entry) {
    return config::selects(selector, config::metadata_of(*entry.second).labels);
  });
}

Texts about(const config::AuthorizationPolicy& policy, const Objects& objects, const Settings& settings) {
  Converted converted = convert(policy, settings);
  if (!converted.policy || policy.selector.empty()) return std::move(converted.warnings);
  const std::string& name_space = policy.metadata.name_space;
  const bool found = name_space == settings.root_namespace  // looks in all of them
                         ? std::ranges::any_of(objects.namespaces(Kind::kPod),
                                               [&](const std::string& in) { return selects_a_pod(policy.selector, in, objects); })
                         : selects_a_pod(policy.selector, name_space, objects);
  if (!found) converted.warnings.push_back("spec.selector selects no pod");
  return std::move(converted.warnings);
}

Texts about(const config::PeerAuthentication& policy, const Objects& objects, const Settings& settings) {
  const config::Metadata& metadata = policy.metadata;
  if (policy.selector.empty()) {
    const config::PeerAuthentication* first = wide_policy(objects, metadata.name_space);
    if (!first || first->metadata.name == metadata.name) return {};
    return {"is not in force: " + first->metadata.name + " is for the whole namespace too, and is older or sorts first"};
  }
  if (metadata.name_space == settings.root_namespace)
    return {"has a selector in the root namespace, where only policies for the whole mesh count: it is ignored"};
  if (selects_a_pod(policy.selector, metadata.name_space, objects)) return {};
  return {"spec.selector selects no pod"};
}

Texts about(const config::Pod& pod, const Objects& objects, const Settings&) {
  const std::string& account = pod.spec.service_account;
  if (pod.is_terminal() || account == "default") return {};  // every namespace has that one
  if (objects.in(Kind::kServiceAccount, pod.metadata.name_space).contains(account)) return {};
  return {"spec.serviceAccountName: there is no ServiceAccount " + account};
}

bool has_port(const config::Pod& pod, const std::string& name) {
  return std::ranges::any_of(pod.spec.containers, [&](const config::Container& container) {
    return std::ranges::contains(container.ports, name, &config::ContainerPort::name);
  });
}

// A port by name that none of the selected pods has leads nowhere.
Texts about(const config::Service& service, const Objects& objects, const Settings& settings) {
  Texts out;
  if (const auto derived = service_of(service, objects, settings); derived && derived->waypoint) {
    out.push_back("names the waypoint " + derived->waypoint->text() +
                  ", and this version has no waypoints: connections to it are refused");
  }
  std::set<std::string> missing;
  for (const config::ServicePort* port : tcp_ports(service)) {
    if (port->target.number == 0) missing.insert(port->target.name);
  }
  if (missing.empty() || service.selector.empty()) return out;
  bool any = false;
  for (const auto& [name, object] : objects.in(Kind::kPod, service.metadata.name_space)) {
    const auto& pod = std::get<config::Pod>(*object);
    if (!config::selects(service.selector, pod.metadata.labels)) continue;
    any = true;
    std::erase_if(missing, [&](const std::string& port) { return has_port(pod, port); });
  }
  if (!any) return out;
  for (const std::string& port : missing) out.push_back("targetPort " + port + ": none of its pods has a port of that name");
  return out;
}

Texts about(const config::EndpointSlice& slice, const Objects& objects, const Settings&) {
  const std::string& name_space = slice.metadata.name_space;
  if (slice.service.empty()) return {"has no label kubernetes.io/service-name: it belongs to no Service"};
  if (!objects.in(Kind::kService, name_space).contains(slice.service)) return {"there is no Service " + slice.service};
  Texts out;
  for (const config::EndpointSlice::Endpoint& endpoint : slice.endpoints) {
    if (endpoint.target_kind != "Pod") continue;
    const std::string& where = endpoint.target_namespace.empty() ? name_space : endpoint.target_namespace;
    if (where != name_space || !objects.in(Kind::kPod, where).contains(endpoint.target_name))
      out.push_back("targetRef: there is no Pod " + endpoint.target_name + " in its namespace");
  }
  return out;
}

template <class T>
Texts about_if_there(const config::Key& key, const Objects& objects, const Settings& settings) {
  const T* object = objects.find<T>(key.kind, key.name_space, key.name);
  return object ? about(*object, objects, settings) : Texts{};
}

}  // namespace

std::vector<std::string> doubts(const config::Key& key, const Objects& objects, const Settings& settings) {
  switch (key.kind) {
    case Kind::kAuthorizationPolicy: return about_if_there<config::AuthorizationPolicy>(key, objects, settings);
    case Kind::kPeerAuthentication: return about_if_there<config::PeerAuthentication>(key, objects, settings);
    case Kind::kPod: return about_if_there<config::Pod>(key, objects, settings);
    case Kind::kService: return about_if_there<config::Service>(key, objects, settings);
    case Kind::kEndpointSlice: return about_if_there<config::EndpointSlice>(key, objects, settings);
    default: return {};
  }
}

}  // namespace culvert::derive
