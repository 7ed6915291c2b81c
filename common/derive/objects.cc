#include "common/derive/objects.h"

#include <google/protobuf/message.h>

#include <optional>
#include <utility>

#include "common/base/check.h"
#include "common/derive/delegate.h"
#include "proto/istio/networking/v1alpha3/service_entry.pb.h"

namespace culvert::derive {

using config::Key;
using config::Kind;
using istio::networking::v1alpha3::ServiceEntry;

namespace {

// Empty for all but Gateways that say it.
std::string_view network_called(const Key& key, const config::Object& object) {
  return key.kind == Kind::kGateway ? config::value_of(config::metadata_of(object).labels, kNetworkLabel) : std::string_view{};
}

template <class Map, class Key, class Value = typename Map::mapped_type>
const Value& value_or_none(const Map& map, const Key& key) {
  static const Value kNone;
  const auto found = map.find(key);
  return found == map.end() ? kNone : found->second;
}

template <class Outer>
void forget(Outer& outer, typename Outer::iterator place) {
  if (place->second.empty()) outer.erase(place);
}

}  // namespace

std::optional<config::Labels> selector_of(const config::Object& object) {
  if (const auto* service = std::get_if<config::Service>(&object)) return service->selector.get();
  if (const auto* policy = std::get_if<config::AuthorizationPolicy>(&object)) return policy->selector.get();
  if (const auto* policy = std::get_if<config::PeerAuthentication>(&object)) return policy->selector;
  const auto* entry = spec_of<ServiceEntry>(&object);
  if (!entry) return std::nullopt;
  const auto& labels = entry->workload_selector().labels();
  return config::Labels(labels.begin(), labels.end());
}

void Objects::put(const Key& key, config::ObjectPtr object) {
  const std::string_view own = config::metadata_of(*object).name;
  CULVERT_CHECK(own == key.name);
  ByName& names = kinds_[key.kind][key.name_space];
  if (const auto held = names.find(own); held == names.end()) {
    ++size_;
  } else {
    unindex(key, *held->second);
    names.erase(held);
  }
  index(key, *names.emplace(own, std::move(object)).first->second);
  invalid_.erase(key);
}

void Objects::erase(const Key& key) {
  invalid_.erase(key);
  const auto kind = kinds_.find(key.kind);
  if (kind == kinds_.end()) return;
  const auto names = kind->second.find(key.name_space);
  if (names == kind->second.end()) return;
  const auto place = names->second.find(key.name);
  if (place == names->second.end()) return;
  unindex(key, *place->second);
  --size_;
  names->second.erase(place);
  if (names->second.empty()) kind->second.erase(names);
}

void Objects::index(const Key& key, const config::Object& object) {
  for (const Key& delegate : delegates_of(object)) delegating_[delegate].insert(key);
  if (auto selector = selector_of(object)) selectors_[key.kind][key.name_space].put(key.name, std::move(*selector));
  if (const auto* slice = std::get_if<config::EndpointSlice>(&object)) slices_[key.name_space][slice->service].insert(key.name);
  if (const auto network = network_called(key, object); !network.empty())
    gateways_[std::string(network)].emplace(config::metadata_of(object).created, key.name_space, key.name);
  if (const auto* entry = spec_of<ServiceEntry>(&object)) {
    const Claim claim{config::metadata_of(object).created, key.name};
    for (const std::string& host : entry->hosts()) claims_[host][key.name_space].insert(claim);
  }
}

void Objects::unindex(const Key& key, const config::Object& object) {
  for (const Key& delegate : delegates_of(object)) {
    const auto roots = delegating_.find(delegate);
    roots->second.erase(key);
    forget(delegating_, roots);
  }
  if (const auto kind = selectors_.find(key.kind); kind != selectors_.end()) {
    const auto held = kind->second.find(key.name_space);
    if (held != kind->second.end()) {
      held->second.erase(key.name);
      forget(kind->second, held);
    }
  }
  if (const auto* slice = std::get_if<config::EndpointSlice>(&object)) {
    const auto services = slices_.find(key.name_space);
    const auto names = services->second.find(slice->service);
    names->second.erase(key.name);
    forget(services->second, names);
    forget(slices_, services);
  }
  if (const auto gateways = gateways_.find(network_called(key, object)); gateways != gateways_.end()) {
    gateways->second.erase({config::metadata_of(object).created, key.name_space, key.name});
    forget(gateways_, gateways);
  }
  const auto* entry = spec_of<ServiceEntry>(&object);
  if (!entry) return;
  const Claim claim{config::metadata_of(object).created, key.name};
  for (const std::string& host : entry->hosts()) {
    const auto claims = claims_.find(host);
    if (claims == claims_.end()) continue;  // a host that is there twice
    const auto of_namespace = claims->second.find(key.name_space);
    if (of_namespace == claims->second.end()) continue;
    of_namespace->second.erase(claim);
    forget(claims->second, of_namespace);
    forget(claims_, claims);
  }
}

void Objects::invalidate(const Key& key) { invalid_.insert(key); }

const Objects::ByName& Objects::in(Kind kind, std::string_view name_space) const {
  static const ByName kNone;
  const auto namespaces = kinds_.find(kind);
  if (namespaces == kinds_.end()) return kNone;
  const auto names = namespaces->second.find(name_space);
  return names == namespaces->second.end() ? kNone : names->second;
}

std::vector<std::string> Objects::namespaces(Kind kind) const {
  std::vector<std::string> out;
  const auto found = kinds_.find(kind);
  if (found == kinds_.end()) return out;
  for (const auto& [name, names] : found->second) out.push_back(name);
  return out;
}

std::vector<std::string> Objects::namespaces() const {
  std::set<std::string> out;
  for (const auto& [kind, namespaces] : kinds_) {
    for (const auto& [name, names] : namespaces) out.insert(name);
  }
  for (const Key& key : invalid_) out.insert(key.name_space);
  out.erase("");
  return {out.begin(), out.end()};
}

std::vector<Key> Objects::keys(std::string_view name_space) const {
  std::set<Key> out;
  for (const auto& [kind, namespaces] : kinds_) {
    const auto names = namespaces.find(name_space);
    if (names == namespaces.end()) continue;
    for (const auto& [name, object] : names->second) out.insert({kind, std::string(name_space), std::string(name)});
  }
  for (const Key& key : invalid_) {
    if (key.name_space == name_space) out.insert(key);
  }
  return {out.begin(), out.end()};
}

std::vector<std::string_view> Objects::selecting(Kind kind, std::string_view name_space, const config::Labels& labels) const {
  const auto found = selectors_.find(kind);
  if (found == selectors_.end()) return {};
  const auto held = found->second.find(name_space);
  return held == found->second.end() ? std::vector<std::string_view>{} : held->second.selecting(labels);
}

const Objects::Names& Objects::wide(Kind kind, std::string_view name_space) const {
  static const Selectors kNone;
  const auto found = selectors_.find(kind);
  if (found == selectors_.end()) return kNone.wide();
  const auto held = found->second.find(name_space);
  return held == found->second.end() ? kNone.wide() : held->second.wide();
}

const Objects::Names& Objects::slices_of(std::string_view name_space, std::string_view service) const {
  return value_or_none(value_or_none(slices_, name_space), service);
}

const Objects::Claims& Objects::claims(std::string_view host) const { return value_or_none(claims_, host); }

const std::set<Key>& Objects::delegating_to(const Key& virtual_service) const {
  return value_or_none(delegating_, virtual_service);
}

const Objects::Placed& Objects::gateways_of(std::string_view network) const { return value_or_none(gateways_, network); }

std::vector<std::string> Objects::gateway_networks() const {
  std::vector<std::string> out;
  for (const auto& [network, gateways] : gateways_) out.push_back(network);
  return out;
}

std::vector<Key> Objects::unreadable(std::string_view name_space) const {
  std::vector<Key> out;
  for (const Key& key : invalid_) {
    if (key.name_space == name_space && !in(key.kind, name_space).contains(key.name)) out.push_back(key);
  }
  return out;
}

bool derives_from(Kind kind) {
  return !config::is_custom(kind) || kind == Kind::kServiceEntry || kind == Kind::kWorkloadEntry || kind == Kind::kWorkloadGroup;
}

const config::Object* object_of(const Key& key, const Objects& objects) {
  const auto& names = objects.in(key.kind, key.name_space);
  const auto found = names.find(key.name);
  return found == names.end() ? nullptr : found->second.get();
}

std::string_view network_of_mesh(const Objects& objects, const Settings& settings) {
  const auto* system = objects.find<config::Namespace>(Kind::kNamespace, "", settings.system());
  return system ? config::value_of(system->metadata.labels, kNetworkLabel) : std::string_view{};
}

std::string_view label_or_namespace(const Objects& objects, const config::Metadata& metadata, std::string_view label) {
  if (const auto own = config::value_of(metadata.labels, label); !own.empty()) return own;
  const auto* name_space = objects.find<config::Namespace>(Kind::kNamespace, "", metadata.name_space);
  return name_space ? config::value_of(name_space->metadata.labels, label) : std::string_view{};
}

}  // namespace culvert::derive
