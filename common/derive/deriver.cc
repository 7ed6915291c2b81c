#include "common/derive/deriver.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "common/derive/authorization.h"
#include "common/derive/doubts.h"
#include "common/derive/peer_authentication.h"
#include "common/derive/service.h"
#include "common/derive/workload.h"

namespace culvert::derive {
namespace {

using config::Key;
using config::Kind;

// Puts `value` under `key` and says so, unless it is there already.
template <class T>
void settle(std::map<std::string, std::shared_ptr<const T>>& held, const std::string& key, std::optional<T> value,
            std::vector<std::shared_ptr<const T>>& changed, std::vector<std::string>& removed) {
  const auto before = held.find(key);
  if (!value) {
    if (before == held.end()) return;
    held.erase(before);
    removed.push_back(key);
    return;
  }
  if (before != held.end() && *before->second == *value) return;
  auto made = std::make_shared<const T>(std::move(*value));
  held[key] = made;
  changed.push_back(std::move(made));
}

}  // namespace

// What has to be computed again.
struct Deriver::Dirty {
  std::set<Key> pods, slices, services;
  std::set<std::string> policies;  // namespaces
  std::set<Key> doubts;
  std::set<std::string> pods_of, accounts_of;  // namespaces in which a pod or a service account changed

  static void all_in(const Objects& objects, Kind kind, const std::string& name_space, std::set<Key>& out) {
    for (const auto& [name, object] : objects.in(kind, name_space)) out.insert({kind, name_space, name});
  }
  static void all(const Objects& objects, Kind kind, std::set<Key>& out) {
    for (const std::string& name_space : objects.namespaces(kind)) all_in(objects, kind, name_space, out);
  }
};

void Deriver::mark(const Objects& objects, const Key& key, Dirty& dirty) const {
  const auto pods_of = [&](const std::string& name_space) {
    if (name_space == settings_.root_namespace) return Dirty::all(objects, Kind::kPod, dirty.pods);  // reaches the whole mesh
    Dirty::all_in(objects, Kind::kPod, name_space, dirty.pods);
  };
  dirty.doubts.insert(key);
  switch (key.kind) {
    case Kind::kPod:
      dirty.pods.insert(key);
      dirty.pods_of.insert(key.name_space);
      break;
    case Kind::kService:
      dirty.services.insert(key);
      Dirty::all_in(objects, Kind::kPod, key.name_space, dirty.pods);
      Dirty::all_in(objects, Kind::kEndpointSlice, key.name_space, dirty.slices);
      Dirty::all_in(objects, Kind::kEndpointSlice, key.name_space, dirty.doubts);
      break;
    case Kind::kEndpointSlice:
      dirty.slices.insert(key);
      Dirty::all_in(objects, Kind::kPod, key.name_space, dirty.pods);
      break;
    case Kind::kNamespace:
      pods_of(key.name);
      if (key.name == settings_.root_namespace) {  // the network of all
        Dirty::all(objects, Kind::kService, dirty.services);
        Dirty::all(objects, Kind::kEndpointSlice, dirty.slices);
      } else {
        Dirty::all_in(objects, Kind::kService, key.name, dirty.services);
      }
      break;
    case Kind::kNode:
      for (const std::string& name_space : objects.namespaces(Kind::kPod)) {
        for (const auto& [name, object] : objects.in(Kind::kPod, name_space)) {
          if (std::get<config::Pod>(*object).spec.node_name == key.name) dirty.pods.insert({Kind::kPod, name_space, name});
        }
      }
      break;
    case Kind::kAuthorizationPolicy:
    case Kind::kPeerAuthentication:
      if (key.name_space.empty()) {  // unreadable, and may be any: the root namespace's denial stands for it
        dirty.policies.insert(settings_.root_namespace);
        break;
      }
      dirty.policies.insert(key.name_space);
      pods_of(key.name_space);
      if (key.kind == Kind::kAuthorizationPolicy) break;
      Dirty::all_in(objects, key.kind, key.name_space, dirty.doubts);  // another one may count now
      dirty.policies.insert(settings_.root_namespace);                 // where the static policy lives
      if (key.name_space == settings_.root_namespace) {
        for (const std::string& other : objects.namespaces(Kind::kPeerAuthentication)) dirty.policies.insert(other);
      }
      break;
    case Kind::kServiceAccount: dirty.accounts_of.insert(key.name_space); break;
    case Kind::kConfigMap:
    case Kind::kDeployment:
    case Kind::kStatefulSet:
    default: break;  // nothing is derived from them, and not yet from what is a config::Custom
  }
}

Delta Deriver::update(const Objects& objects, std::span<const Key> changed) {
  Dirty dirty;
  for (const Key& key : changed) mark(objects, key, dirty);
  Delta delta;
  for (const std::string& name_space : dirty.policies) derive_policies(objects, name_space, delta);
  for (const Key& key : dirty.services) derive_service(objects, key, delta);
  for (const Key& key : dirty.slices) derive_slice(objects, key, delta);
  for (const Key& key : dirty.pods) derive_pod(objects, key, delta);
  doubt(objects, dirty, delta);
  return delta;
}

// Pods come and go: what names them by label, by port or by name is looked at again.
void Deriver::doubt(const Objects& objects, Dirty& dirty, Delta& delta) {
  for (const std::string& name_space : dirty.pods_of) {
    for (const Kind kind : {Kind::kAuthorizationPolicy, Kind::kPeerAuthentication, Kind::kService, Kind::kEndpointSlice})
      Dirty::all_in(objects, kind, name_space, dirty.doubts);
  }
  if (!dirty.pods_of.empty()) Dirty::all_in(objects, Kind::kAuthorizationPolicy, settings_.root_namespace, dirty.doubts);
  for (const std::string& name_space : dirty.accounts_of) Dirty::all_in(objects, Kind::kPod, name_space, dirty.doubts);
  dirty.doubts.insert(dirty.services.begin(), dirty.services.end());  // their waypoint may be the namespace's
  for (const Key& key : dirty.doubts) warn(key, doubts(key, objects, settings_), delta);
}

void Deriver::derive_pod(const Objects& objects, const Key& key, Delta& delta) {
  const auto* pod = objects.find<config::Pod>(key.kind, key.name_space, key.name);
  settle(workloads_, pod_uid(key.name_space, key.name, settings_), pod ? workload_of(*pod, objects, settings_) : std::nullopt,
         delta.workloads, delta.removed_addresses);
}

void Deriver::derive_slice(const Objects& objects, const Key& key, Delta& delta) {
  std::set<std::string> uids;
  if (const auto* slice = objects.find<config::EndpointSlice>(key.kind, key.name_space, key.name)) {
    for (model::Workload& workload : workloads_of(*slice, objects, settings_)) {
      const std::string uid = workload.uid;
      if (uids.insert(uid).second)
        settle(workloads_, uid, std::optional(std::move(workload)), delta.workloads, delta.removed_addresses);
    }
  }
  for (const std::string& old : slice_uids_[key]) {
    if (!uids.contains(old)) settle(workloads_, old, std::optional<model::Workload>(), delta.workloads, delta.removed_addresses);
  }
  if (uids.empty()) {
    slice_uids_.erase(key);
  } else {
    slice_uids_[key] = std::move(uids);
  }
}

void Deriver::derive_service(const Objects& objects, const Key& key, Delta& delta) {
  config::Metadata metadata;
  metadata.name = key.name;
  metadata.name_space = key.name_space;
  const auto* service = objects.find<config::Service>(key.kind, key.name_space, key.name);
  std::optional<model::Service> derived = service ? service_of(*service, objects, settings_) : std::nullopt;
  settle(services_, key.name_space + "/" + hostname_of(metadata, settings_), std::move(derived), delta.services,
         delta.removed_addresses);
}

void Deriver::derive_authorization(const Objects& objects, const std::string& name_space,
                                   std::map<std::string, model::Policy>& out) const {
  for (const auto& [name, object] : objects.in(Kind::kAuthorizationPolicy, name_space)) {
    Converted converted = convert(std::get<config::AuthorizationPolicy>(*object), settings_);
    if (converted.policy) out.insert_or_assign(converted.policy->key(), std::move(*converted.policy));
  }
}

void Deriver::derive_peer_authentication(const Objects& objects, const std::string& name_space,
                                         std::map<std::string, model::Policy>& out) const {
  const auto add = [&out](std::optional<model::Policy> policy) {
    if (policy) out.insert_or_assign(policy->key(), std::move(*policy));
  };
  for (const auto& [name, object] : objects.in(Kind::kPeerAuthentication, name_space)) {
    add(convert(std::get<config::PeerAuthentication>(*object), objects, settings_));
  }
  if (name_space == settings_.root_namespace) add(static_strict_policy(objects, settings_));
  add(unreadable_policy(name_space, objects, settings_));
}

void Deriver::derive_policies(const Objects& objects, const std::string& name_space, Delta& delta) {
  std::map<std::string, model::Policy> derived;
  derive_authorization(objects, name_space, derived);
  derive_peer_authentication(objects, name_space, derived);
  std::set<std::string> keys;
  for (auto& [key, policy] : derived) {
    keys.insert(key);
    settle(policies_, key, std::optional(std::move(policy)), delta.policies, delta.removed_policies);
  }
  for (const std::string& old : namespace_policies_[name_space]) {
    if (!keys.contains(old)) settle(policies_, old, std::optional<model::Policy>(), delta.policies, delta.removed_policies);
  }
  namespace_policies_[name_space] = std::move(keys);
}

void Deriver::warn(const Key& key, std::vector<std::string> texts, Delta& delta) {
  std::set<std::string> now(texts.begin(), texts.end());
  const auto before = warnings_.find(key);
  for (const std::string& text : now) {
    if (before == warnings_.end() || !before->second.contains(text)) delta.warnings.push_back({key, text});
  }
  if (now.empty()) {
    warnings_.erase(key);
  } else {
    warnings_[key] = std::move(now);
  }
}

std::vector<Warning> Deriver::warnings() const {
  std::vector<Warning> out;
  for (const auto& [key, texts] : warnings_) {
    for (const std::string& text : texts) out.push_back({key, text});
  }
  return out;
}

}  // namespace culvert::derive
