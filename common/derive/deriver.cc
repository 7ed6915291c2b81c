#include "common/derive/deriver.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "common/base/hash.h"
#include "common/derive/authorization.h"
#include "common/derive/fingerprint.h"
#include "common/derive/mesh_config.h"
#include "common/derive/network.h"
#include "common/derive/peer_authentication.h"
#include "common/derive/service.h"
#include "common/derive/service_entry.h"
#include "common/derive/workload.h"
#include "common/derive/workload_entry.h"

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

// What others are found through comes before them: objects of a first update are looked for in vain by all that come before.
int rank(Kind kind) {
  switch (kind) {
    case Kind::kNamespace: return 0;
    case Kind::kGatewayClass: return 1;
    case Kind::kGateway: return 2;
    case Kind::kService: return 4;
    case Kind::kEndpointSlice: return 5;
    case Kind::kServiceEntry: return 6;
    case Kind::kWorkloadEntry: return 7;
    case Kind::kPod: return 8;
    default: return 3;
  }
}

std::uint64_t hash_of(const std::string& uid) { return keyed_hash(own_hash_key(), uid); }

}  // namespace

Deriver::Deriver(Settings settings, Take taken)
    : take_(std::move(taken)), configured_(std::move(settings)), settings_(with_mesh_config(configured_, Objects{}).settings) {}

Delta Deriver::update(const Objects& objects, std::span<const Key> changed) {
  Dirty dirty;
  Delta delta;
  work_ = {};
  std::vector<Key> keys(changed.begin(), changed.end());
  std::ranges::sort(
      keys, [](const Key& a, const Key& b) { return rank(a.kind) != rank(b.kind) ? rank(a.kind) < rank(b.kind) : a < b; });
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  if (std::ranges::contains(keys, mesh_config_key(settings_))) configure(objects, dirty);
  for (const Key& key : keys) step(objects, key, dirty);
  const bool entries = std::ranges::contains(keys, Kind::kServiceEntry, &Key::kind);
  if (entries && settings_.allocate_addresses) allocate_addresses(objects, dirty);
  for (const std::string& name_space : dirty.policies) derive_policies(objects, name_space, delta);
  for (const Key& key : dirty.services) derive_service(objects, key, delta);
  for (const Key& key : dirty.service_entries) derive_service_entry(objects, key, delta);
  for (const Key& key : dirty.slices) derive_slice(objects, key, delta);
  for (const Key& key : dirty.workload_entries) derive_workload_entry(objects, key, delta);
  for (const Key& key : dirty.pods) derive_pod(objects, key, delta);
  if (dirty.gateways) derive_gateways(objects, delta);
  forget_put_again(delta);
  doubt(objects, dirty, delta);
  return delta;
}

Delta Deriver::sign_for(const Objects& objects, std::string root_trust_domain) {
  if (root_trust_domain == configured_.root_trust_domain) return {};
  configured_.root_trust_domain = std::move(root_trust_domain);
  const Key config = mesh_config_key(settings_);
  return update(objects, std::span(&config, 1));
}

// The last MeshConfig that could be read stays in force.
void Deriver::configure(const Objects& objects, Dirty& dirty) {
  MeshConfigured read = with_mesh_config(configured_, objects);
  if (!read.problems.empty()) {
    const std::string& root = configured_.root_trust_domain;
    read.settings = settings_;
    if (!root.empty()) read.settings.trust_domain = root;
    read.settings.root_trust_domain = root;
  }
  if (read.settings == settings_) return;
  dirty.doubts.insert(mesh_config_key(settings_));
  for (const std::string& root : {settings_.root_namespace, read.settings.root_namespace}) dirty.policies.insert(root);
  settings_ = std::move(read.settings);
  mark_all(seen_, settings_, dirty);
  for (const Kind kind : {Kind::kService, Kind::kServiceEntry, Kind::kAuthorizationPolicy, Kind::kPeerAuthentication}) {
    for (const std::string& in : seen_.namespaces(kind))
      for (const auto& [name, object] : seen_.in(kind, in))
        tally_.selected.recount({kind, in, std::string(name)}, seen_, seen_, settings_);
  }
}

void Deriver::step(const Objects& objects, const Key& key, Dirty& dirty) {
  const config::Object* before = object_of(key, seen_);
  const config::Object* now = object_of(key, objects);
  const bool unreadable = config::is_policy(key.kind);  // may have become so, or no more, though the object is the same
  if (!unreadable && (before == now || (before && now && *before == *now))) return;
  mark({key, before, now}, objects, seen_, settings_, dirty);
  const auto sharers = [&, network = network_of_mesh(seen_, settings_)] {
    dirty.doubts.merge(tally_.sharing.beside(before, now, network));
  };
  sharers();
  if (before) {
    tally_.sharing.remove(*before);
    tally_.selected.remove(*before, objects, settings_, dirty.doubts);
    tally_.covered.remove(*before, dirty.doubts);
  }
  if (now) {
    tally_.sharing.add(*now);
    tally_.selected.add(*now, objects, settings_, dirty.doubts);
    tally_.covered.add(*now, seen_, dirty.doubts);
  }
  sharers();
  const bool selects = key.kind == Kind::kService || key.kind == Kind::kServiceEntry || config::is_policy(key.kind);
  const bool recount = selects && !Selected::alike(before, now);
  if (now) seen_.put(key, objects.in(key.kind, key.name_space).find(key.name)->second);  // `before` is gone after this
  else seen_.erase(key);
  if (recount) tally_.selected.recount(key, objects, seen_, settings_);
}

// A ServiceEntry's status would say it; where nobody writes that, it is as if it did.
void Deriver::allocate_addresses(const Objects& objects, Dirty& dirty) {
  Allocations now = allocate(objects);
  for (const auto* one : {&allocated_, &now}) {
    const auto& other = one == &now ? allocated_ : now;
    for (const auto& [key, addresses] : *one) {
      const auto there = other.find(key);
      if (there == other.end() || there->second != addresses) dirty.service_entries.insert(key);
    }
  }
  allocated_ = std::move(now);
}

// Pods come and go: `dirty` has what names them by label, by port or by name and may have to say something else now.
void Deriver::doubt(const Objects& objects, const Dirty& dirty, Delta& delta) {
  std::set<Key> keys = dirty.doubts;
  for (const auto* some : {&dirty.pods, &dirty.workload_entries, &dirty.slices, &dirty.services, &dirty.service_entries})
    keys.insert(some->begin(), some->end());
  work_.doubts += keys.size();
  for (const Key& key : keys) {
    warn(key, doubts(key, objects, settings_, tally_), delta);
  }
}

// What went from one owner to another in one step is not gone.
void Deriver::forget_put_again(Delta& delta) const {
  std::erase_if(delta.removed_addresses,
                [this](const std::string& key) { return workloads_.contains(hash_of(key)) || services_.contains(key); });
}

void Deriver::derive_pod(const Objects& objects, const Key& key, Delta& delta) {
  ++work_.workloads;
  const auto* pod = objects.find<config::Pod>(key.kind, key.name_space, key.name);
  settle_workload(pod_uid(key.name_space, key.name, settings_), pod ? workload_of(*pod, objects, settings_) : std::nullopt,
                  delta);
}

void Deriver::derive_workload_entry(const Objects& objects, const Key& key, Delta& delta) {
  ++work_.workloads;
  const auto* entry = objects.find<config::Custom>(key.kind, key.name_space, key.name);
  settle_workload(workload_entry_uid(key.name_space, key.name, settings_),
                  entry ? workload_of(*entry, objects, settings_) : std::nullopt, delta);
}

void Deriver::derive_slice(const Objects& objects, const Key& key, Delta& delta) {
  const auto* slice = objects.find<config::EndpointSlice>(key.kind, key.name_space, key.name);
  settle_workloads(key, slice ? workloads_of(*slice, objects, settings_) : std::vector<model::Workload>{}, delta);
}

// Few, and two may lead to one address: all at once.
void Deriver::derive_gateways(const Objects& objects, Delta& delta) {
  settle_workloads({Kind::kGateway, "", ""}, gateway_workloads(objects, settings_), delta);
}

void Deriver::settle_workload(const std::string& uid, std::optional<model::Workload> derived, Delta& delta) {
  if (!derived) {
    if (workloads_.erase(hash_of(uid)) > 0) delta.removed_addresses.push_back(uid);
    return;
  }
  const std::uint64_t now = fingerprint(*derived);
  const auto [place, fresh] = workloads_.try_emplace(hash_of(uid), now);
  if (!fresh && std::exchange(place->second, now) == now) return;
  if (take_) take_(*derived);
  else delta.workloads.push_back(std::make_shared<const model::Workload>(std::move(*derived)));
}

// Of several with one uid the first counts.
void Deriver::settle_workloads(const Key& from, std::vector<model::Workload> derived, Delta& delta) {
  Uids uids;
  work_.workloads += derived.size();
  for (model::Workload& workload : derived) {
    const std::string uid = workload.uid;
    if (uids.insert(uid).second) settle_workload(uid, std::move(workload), delta);
  }
  for (const std::string& old : uids_[from]) {
    if (!uids.contains(old)) settle_workload(old, std::nullopt, delta);
  }
  if (uids.empty()) uids_.erase(from);
  else uids_[from] = std::move(uids);
}

void Deriver::derive_service(const Objects& objects, const Key& key, Delta& delta) {
  ++work_.services;
  config::Metadata metadata;
  metadata.name = key.name;
  metadata.name_space = key.name_space;
  const auto* service = objects.find<config::Service>(key.kind, key.name_space, key.name);
  std::optional<model::Service> derived = service ? service_of(*service, objects, settings_) : std::nullopt;
  const std::string its = key.name_space + "/" + hostname_of(metadata, settings_);
  if (derived) service_owners_.erase(its);
  else if (service_owners_.contains(its)) return;  // a ServiceEntry's
  settle(services_, its, std::move(derived), delta.services, delta.removed_addresses);
}

void Deriver::derive_service_entry(const Objects& objects, const Key& key, Delta& delta) {
  const auto* entry = objects.find<config::Custom>(key.kind, key.name_space, key.name);
  std::vector<model::Service> derived;
  if (entry) {
    const auto given = allocated_.find(key);
    derived = entry_services(*entry, given == allocated_.end() ? entry->addresses : given->second, objects, settings_);
  }
  work_.services += derived.size();
  std::set<std::string> keys;
  for (model::Service& service : derived) {
    const std::string its = service.key();
    keys.insert(its);
    service_owners_[its] = key;
    settle(services_, its, std::optional(std::move(service)), delta.services, delta.removed_addresses);
  }
  for (const std::string& old : entry_services_[key]) {
    const auto owner = service_owners_.find(old);
    if (keys.contains(old) || owner == service_owners_.end() || owner->second != key) continue;  // somebody else has it now
    service_owners_.erase(owner);
    settle(services_, old, std::optional<model::Service>(), delta.services, delta.removed_addresses);
  }
  if (keys.empty()) entry_services_.erase(key);
  else entry_services_[key] = std::move(keys);
  settle_workloads(key, entry ? workloads_of(*entry, objects, settings_) : std::vector<model::Workload>{}, delta);
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
  ++work_.policies;
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
  static const std::set<std::string> kNone;
  std::set<std::string> now(texts.begin(), texts.end());
  const auto held = warnings_.find(key);
  const std::set<std::string>& before = held == warnings_.end() ? kNone : held->second;
  if (now == before) return;
  delta.doubted.push_back(key);
  for (const std::string& text : now)
    if (!before.contains(text)) delta.warnings.push_back({key, text});
  if (now.empty()) warnings_.erase(held);
  else warnings_[key] = std::move(now);
}

std::vector<Warning> Deriver::warnings() const {
  std::vector<Warning> out;
  for (const auto& [key, texts] : warnings_) {
    for (const std::string& text : texts) out.push_back({key, text});
  }
  return out;
}

}  // namespace culvert::derive
