#include "controlplane/snapshot/snapshot.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/xds/codec.h"
#include "common/xds/wire.h"

namespace culvert::controlplane {
namespace {

constexpr std::string_view kDigits = "0123456789abcdef";

constexpr std::size_t kVersionSize = 16;

std::string version_text(std::uint64_t hash) {
  std::string out(kVersionSize, '0');
  for (auto digit = out.rbegin(); digit != out.rend(); ++digit, hash >>= 4) *digit = kDigits[hash & 15];
  return out;
}

// The content of a resource, out of its field of a response.
std::string content_of(const Resource& resource) {
  auto decoded = xds::decode_resource(*resource.encoded);
  CULVERT_CHECK(decoded.has_value());  // we have put it there
  return std::move(decoded->value);
}

}  // namespace

std::string_view type_url(Type type) {
  switch (type) {
    case Type::kAddress: return xds::kAddressType;
    case Type::kWorkload: return xds::kWorkloadType;
    case Type::kAuthorization: return xds::kAuthorizationType;
  }
  return "";
}

std::string_view short_name(Type type) { return type == Type::kAuthorization ? "WADS" : "WDS"; }

std::string Resource::version() const { return version_text(hash); }

// Asked of each resource for each node that comes again.
bool Resource::is_of(std::string_view version) const {
  if (version.size() != kVersionSize) return false;
  std::uint64_t rest = hash;
  for (auto digit = version.rbegin(); digit != version.rend(); ++digit, rest >>= 4)
    if (*digit != kDigits[rest & 15]) return false;
  return true;
}

const Resource* Table::find(std::string_view name) const {
  const auto found = resources_.find(name);
  return found == resources_.end() ? nullptr : &found->second;
}

void Table::after(Epoch epoch, const Visit& visit) const {
  auto turn = turns_.end();
  while (turn != turns_.begin() && std::prev(turn)->epoch > epoch) --turn;
  for (; turn != turns_.end(); ++turn) visit(turn->name, find(turn->name));
}

bool Table::few_after(Epoch epoch, std::size_t most) const {
  std::size_t count = 0;
  for (auto turn = turns_.end(); turn != turns_.begin() && std::prev(turn)->epoch > epoch; --turn)
    if (++count > most) return false;
  return true;
}

bool Table::put(std::string name, std::string_view type_url, std::string value, Epoch epoch) {
  const std::uint64_t hash = content_hash(value);
  const auto held = resources_.find(name);
  const std::size_t size = name.size();
  auto encoded = std::make_shared<const std::string>(
      xds::encode_resource({std::move(name), version_text(hash), std::string(type_url), std::move(value)}));
  if (held != resources_.end() && *held->second.encoded == *encoded) return false;
  const std::string_view own = std::string_view(*encoded).substr(encoded->size() - size);  // the name stands last
  newest_put_ = epoch;
  if (held != resources_.end()) {
    auto node = resources_.extract(held);
    const auto turn = node.mapped().turn;
    turns_.splice(turns_.end(), turns_, turn);
    *turn = {epoch, own};
    node.key() = own;
    node.mapped() = {epoch, hash, std::move(encoded), turn};
    resources_.insert(std::move(node));
    return true;
  }
  if (const auto gone = removed_.find(own); gone != removed_.end()) {
    turns_.erase(gone->second);
    removed_.erase(gone);
  }
  const auto turn = turns_.insert(turns_.end(), {epoch, own});
  resources_.emplace(own, Resource{epoch, hash, std::move(encoded), turn});
  return true;
}

bool Table::remove(std::string_view name, Epoch epoch) {
  const auto held = resources_.find(name);
  if (held == resources_.end()) return false;
  const auto turn = held->second.turn;
  const auto gone = removed_.emplace(name, turn).first;
  turns_.splice(turns_.end(), turns_, turn);
  *turn = {epoch, gone->first};
  resources_.erase(held);
  newest_removal_ = epoch;
  return true;
}

Epoch Table::forget_removals(Epoch epoch) {
  Epoch last = 0;
  std::erase_if(removed_, [&](const auto& gone) {
    if (gone.second->epoch > epoch) return false;
    last = std::max(last, gone.second->epoch);
    turns_.erase(gone.second);
    return true;
  });
  return last;
}

const Table& Snapshot::table(Type type) const {
  if (type == Type::kAuthorization) return policies_;
  if (type == Type::kAddress) return addresses_;
  if (!workloads_) {
    workloads_.emplace();
    for (const auto& [name, resource] : addresses_.resources()) {
      if (auto workload = xds::workload_of(content_of(resource)))
        workloads_->put(std::string(name), type_url(type), std::move(*workload), epoch_);
    }
  }
  return *workloads_;
}

const Lookup& Snapshot::lookup() const {
  if (lookup_) return *lookup_;
  lookup_.emplace();
  for (const auto& [name, resource] : addresses_.resources()) {
    const auto address = xds::decode_address(content_of(resource));
    if (address) std::visit([this](const auto& value) { lookup_->put(value); }, *address);
  }
  return *lookup_;
}

void Snapshot::each_workload(const std::function<void(model::Workload workload)>& visit) const {
  for (const auto& [name, resource] : addresses_.resources()) {
    auto address = xds::decode_address(content_of(resource));
    if (!address) continue;  // of what nobody takes nobody is told
    if (auto* workload = std::get_if<model::Workload>(&*address)) visit(std::move(*workload));
  }
}

void Snapshot::put(const model::Workload& workload) {
  const Epoch next = epoch_ + 1;
  put_ |= addresses_.put(workload.uid, type_url(Type::kAddress), xds::encode(workload), next);
  if (workloads_) workloads_->put(workload.uid, type_url(Type::kWorkload), xds::encode_as_workload(workload), next);
  if (lookup_) lookup_->put(workload);
}

bool Snapshot::apply(const derive::Delta& delta) {
  const Epoch next = epoch_ + 1;
  for (const auto& workload : delta.workloads) put(*workload);
  bool changed = std::exchange(put_, false);
  const auto take = [&](Table& table, Type type, std::string name, std::string value) {
    changed |= table.put(std::move(name), type_url(type), std::move(value), next);
  };
  for (const auto& policy : delta.policies) take(policies_, Type::kAuthorization, policy->key(), xds::encode(*policy));
  for (const auto& service : delta.services) {
    take(addresses_, Type::kAddress, service->key(), xds::encode(*service));
    if (lookup_) lookup_->put(*service);
  }
  for (const std::string& name : delta.removed_policies) changed |= policies_.remove(name, next);
  for (const std::string& name : delta.removed_addresses) {
    changed |= addresses_.remove(name, next);
    if (workloads_) workloads_->remove(name, next);
    if (lookup_) lookup_->remove(name);
  }
  if (changed) epoch_ = next;
  return changed;
}

std::shared_ptr<const Whole> Snapshot::whole() const {
  if (auto held = whole_.lock(); held && policies_.newest_removal() <= held->epoch) return held;
  std::size_t size = 0;
  for (const auto& [name, resource] : addresses_.resources()) size += xds::size_in_response(*resource.encoded);
  auto made = std::make_shared<Whole>(Whole{epoch_, addresses_.resources().size(), ""});
  made->encoded.reserve(size);
  for (const auto& [name, resource] : addresses_.resources()) xds::append_to_response(made->encoded, *resource.encoded);
  whole_ = made;
  return made;
}

// Whoever gets what somebody still has is told what was removed since then.
void Snapshot::forget_removals(Epoch epoch) {
  if (const auto held = whole_.lock()) epoch = std::min(epoch, held->epoch);
  const auto forget = [&](Table& table, Type type) {
    auto& listing = listings_[static_cast<std::size_t>(type)];
    if (const Epoch last = table.forget_removals(epoch); listing && last > listing->epoch()) listing.reset();
  };
  forget(addresses_, Type::kAddress);
  forget(policies_, Type::kAuthorization);
  if (workloads_) forget(*workloads_, Type::kWorkload);
}

const Listing& Snapshot::listing(Type type) const {
  constexpr std::size_t kFew = 16, kShare = 64;  // and a part of all: to look at these costs less than to make another
  std::optional<Listing>& held = listings_[static_cast<std::size_t>(type)];
  const Table& all = table(type);
  if (held && all.few_after(held->epoch(), kFew + all.resources().size() / kShare)) return *held;
  std::size_t bytes = 0;
  for (const auto& [name, resource] : all.resources()) bytes += name.size() + kVersionSize;
  xds::Versions versions;
  versions.reserve(all.resources().size(), bytes);
  for (const auto& [name, resource] : all.resources()) versions.emplace(name, resource.version());
  return held.emplace(epoch_, std::move(versions));
}

const xds::Sums& Listing::sums() const { return sums_ ? *sums_ : sums_.emplace(versions_); }

void Snapshot::drop_listings() const {
  for (auto& listing : listings_) listing.reset();
}

}  // namespace culvert::controlplane
