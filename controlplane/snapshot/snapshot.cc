#include "controlplane/snapshot/snapshot.h"

#include <algorithm>
#include <utility>

#include "common/xds/codec.h"
#include "common/xds/wire.h"

namespace culvert::controlplane {

std::string_view type_url(Type type) {
  switch (type) {
    case Type::kAddress: return xds::kAddressType;
    case Type::kWorkload: return xds::kWorkloadType;
    case Type::kAuthorization: return xds::kAuthorizationType;
  }
  return "";
}

std::string_view short_name(Type type) { return type == Type::kAuthorization ? "WADS" : "WDS"; }

const Resource* Table::find(std::string_view name) const {
  const auto found = resources_.find(name);
  return found == resources_.end() ? nullptr : &found->second;
}

void Table::after(Epoch epoch, const Visit& visit) const {
  for (auto entry = log_.lower_bound({epoch + 1, ""}); entry != log_.end(); ++entry) {
    const std::string& name = entry->first.second;
    visit(name, entry->second ? nullptr : find(name));
  }
}

// Moves the name's entry to `epoch`.
void Table::log(const std::string& name, Epoch epoch, bool removed) {
  if (const auto held = resources_.find(name); held != resources_.end()) log_.erase({held->second.epoch, name});
  if (const auto gone = removed_.find(name); gone != removed_.end()) log_.erase({gone->second, name});
  log_[{epoch, name}] = removed;
  (removed ? newest_removal_ : newest_put_) = epoch;
}

bool Table::put(const std::string& name, std::string_view type_url, std::string value, Epoch epoch) {
  std::string version = content_version(value);
  if (const Resource* held = find(name); held && held->version == version) return false;
  log(name, epoch, false);
  removed_.erase(name);
  auto encoded =
      std::make_shared<const std::string>(xds::encode_resource({name, version, std::string(type_url), std::move(value)}));
  resources_[name] = {epoch, std::move(version), std::move(encoded)};
  return true;
}

bool Table::remove(const std::string& name, Epoch epoch) {
  if (!resources_.contains(name)) return false;
  log(name, epoch, true);
  resources_.erase(name);
  removed_[name] = epoch;
  return true;
}

void Table::forget_removals(Epoch epoch) {
  if (removed_.empty()) return;
  for (auto entry = log_.begin(); entry != log_.end() && entry->first.first <= epoch;) {
    entry = entry->second ? log_.erase(entry) : std::next(entry);
  }
  std::erase_if(removed_, [epoch](const auto& entry) { return entry.second <= epoch; });
}

bool Snapshot::apply(const derive::Delta& delta) {
  const Epoch next = epoch_ + 1;
  bool changed = false;
  const auto put = [&](Type type, const std::string& name, std::string value) {
    changed |= at(type).put(name, type_url(type), std::move(value), next);
  };
  for (const auto& policy : delta.policies) put(Type::kAuthorization, policy->key(), xds::encode(*policy));
  for (const auto& service : delta.services) put(Type::kAddress, service->key(), xds::encode(*service));
  for (const auto& workload : delta.workloads) {
    put(Type::kAddress, workload->uid, xds::encode(*workload));
    put(Type::kWorkload, workload->uid, xds::encode_as_workload(*workload));
  }
  for (const std::string& name : delta.removed_policies) changed |= at(Type::kAuthorization).remove(name, next);
  for (const std::string& name : delta.removed_addresses) {
    changed |= at(Type::kAddress).remove(name, next);
    at(Type::kWorkload).remove(name, next);
  }
  if (changed) epoch_ = next;
  return changed;
}

void Snapshot::forget_removals(Epoch epoch) {
  for (Table& table : tables_) table.forget_removals(epoch);
}

}  // namespace culvert::controlplane
