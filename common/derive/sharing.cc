#include "common/derive/sharing.h"

#include <algorithm>
#include <iterator>
#include <tuple>

#include "common/derive/service_entry.h"
#include "common/derive/workload_entry.h"

namespace culvert::derive {
namespace {

using config::Key;
using config::Kind;

auto rank(const config::Object& object) {
  const config::Metadata& metadata = config::metadata_of(object);
  return std::tuple<Kind, std::string_view, std::string_view>(config::kind_of(object), metadata.name_space, metadata.name);
}

}  // namespace

bool Sharing::Order::operator()(const Holder& a, const Holder& b) const {
  const auto places = a.place <=> b.place;
  return places != 0 ? places < 0 : rank(*a.object) < rank(*b.object);
}

std::vector<Sharing::Place> Sharing::places_of(const config::Object& object) {
  std::vector<Place> out;
  if (const auto* pod = std::get_if<config::Pod>(&object)) {
    if (pod->spec.host_network || pod->is_terminal()) return out;  // its node's, or nobody's any more
    const auto network = config::value_of(pod->metadata.labels, kNetworkLabel);
    for (const IpAddress& address : pod->addresses) out.push_back({As::kWorkload, address, network});
    return out;
  }
  const auto* custom = std::get_if<config::Custom>(&object);
  if (!custom) return out;
  if (const auto own = own_address(*custom)) out.push_back({As::kWorkload, own->address, own->network});
  for (const Cidr& range : written_addresses(object))
    if (is_host(range)) out.push_back({As::kService, range.address, ""});
  return out;
}

Sharing::Sharing(const Objects& objects) {
  for (const Kind kind : {Kind::kPod, Kind::kWorkloadEntry, Kind::kServiceEntry}) {
    for (const std::string& name_space : objects.namespaces(kind))
      for (const auto& [name, object] : objects.in(kind, name_space)) add(*object);
  }
}

void Sharing::add(const config::Object& object) {
  for (const Place& place : places_of(object)) holders_.insert({place, &object});
}

void Sharing::remove(const config::Object& object) {
  for (const Place& place : places_of(object)) holders_.erase({place, &object});
}

// Who names the mesh's own network is where those are who name none.
std::vector<const config::Object*> Sharing::at(const Place& place, std::string_view mesh, std::size_t most) const {
  std::vector<const config::Object*> out;
  const bool of_mesh = place.network.empty() || place.network == mesh;
  const auto collect = [&](std::string_view network) {
    const auto [first, last] = holders_.equal_range(Place{place.as, place.address, network});
    for (auto holder = first; holder != last && out.size() < most; ++holder) out.push_back(holder->object);
  };
  if (of_mesh) collect("");
  if (const std::string_view named = of_mesh ? mesh : place.network; !named.empty()) collect(named);
  return out;
}

std::vector<Sharing::Shared> Sharing::of(const config::Object& object, std::string_view mesh) const {
  std::vector<Shared> out;
  std::set<Place> seen;
  for (const Place& place : places_of(object)) {
    if (!seen.insert(place).second) continue;
    Shared shared{place.as, place.address, {}, false};
    bool among = false;
    for (const config::Object* holder : at(place, mesh, kMost + 2)) {
      if (rank(*holder) == rank(object)) among = true;
      else if (shared.others.size() == kMost) shared.more = true;
      else shared.others.push_back(config::key_of(*holder));
    }
    if (shared.others.empty()) continue;
    if (shared.more && !among) shared.others.clear();  // they change, and it would have to be told each time
    out.push_back(std::move(shared));
    if (out.size() == kMost) break;
  }
  return out;
}

std::set<Key> Sharing::beside(const config::Object* before, const config::Object* now, std::string_view mesh) const {
  const auto all_of = [](const config::Object* object) {
    const std::vector<Place> places = object ? places_of(*object) : std::vector<Place>();
    return std::set(places.begin(), places.end());
  };
  std::vector<Place> turned;
  std::ranges::set_symmetric_difference(all_of(before), all_of(now), std::back_inserter(turned));
  std::set<const config::Object*> holders;  // who shares many of them is looked at once
  for (const Place& place : turned) {
    const auto some = at(place, mesh, kMost + 2);
    holders.insert(some.begin(), some.end());
  }
  std::set<Key> out;
  for (const config::Object* holder : holders) out.insert(config::key_of(*holder));
  return out;
}

}  // namespace culvert::derive
