#include "common/derive/delegate.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>

#include "common/base/format.h"
#include "common/derive/objects.h"
#include "proto/istio/networking/v1alpha3/virtual_service.pb.h"

namespace culvert::derive {
namespace {

using config::Key;
using config::Kind;
using istio::networking::v1alpha3::Delegate;
using istio::networking::v1alpha3::VirtualService;

constexpr std::size_t kMostSaid = 16;    // of one object
constexpr std::size_t kMostNamed = 256;  // VirtualServices that one leaves routes to, and that are looked at

Key key_of(const Delegate& delegate, const std::string& own_namespace) {
  return {Kind::kVirtualService, delegate.namespace_().empty() ? own_namespace : delegate.namespace_(), delegate.name()};
}

bool is_seen_from(std::string_view name_space, const Key& key, const VirtualService& spec) {
  return spec.export_to().empty() || std::ranges::any_of(spec.export_to(), [&](const std::string& to) {
           return to == "*" || to == name_space || (to == "." && key.name_space == name_space);
         });
}

// Why a route of `root` that is left to `to` leads nowhere, or some of what it leads to does; empty when all is well.
std::string trouble(const Key& root, const Key& to, const Objects& objects) {
  const std::string nowhere = ": the route leads nowhere";
  if (to.name.empty()) return "names no VirtualService" + nowhere;
  if (to == root) return "is this VirtualService itself" + nowhere;
  const config::Object* object = object_of(to, objects);
  const auto* spec = spec_of<VirtualService>(object);
  if (!spec) return "there is no " + to.text() + nowhere;
  if (!spec->hosts().empty()) return to.text() + " has hosts, and a delegate has none" + nowhere;
  if (!is_seen_from(root.name_space, to, *spec)) return to.text() + " is not exported to this namespace" + nowhere;
  const std::set<Key> further = delegates_of(*object);
  if (further.empty()) return "";
  return to.text() + (further.contains(root) ? " delegates back to this one" : " delegates further") +
         ", and one level is all that there is: its routes that do lead nowhere";
}

}  // namespace

std::set<Key> delegates_of(const config::Object& object) {
  std::set<Key> out;
  const auto* spec = spec_of<VirtualService>(&object);
  if (!spec) return out;
  for (const auto& route : spec->http())
    if (route.has_delegate()) out.insert(key_of(route.delegate(), config::metadata_of(object).name_space));
  return out;
}

bool alike_as_delegate(const config::Object* before, const config::Object* now) {
  const auto *old = spec_of<VirtualService>(before), *fresh = spec_of<VirtualService>(now);
  if (!old || !fresh) return old == fresh;
  return old->hosts().empty() == fresh->hosts().empty() && std::ranges::equal(old->export_to(), fresh->export_to()) &&
         delegates_of(*before) == delegates_of(*now);
}

std::vector<std::string> delegate_doubts(const config::Custom& virtual_service, const Objects& objects) {
  std::vector<std::string> out;
  const auto& spec = dynamic_cast<const VirtualService&>(*virtual_service.spec);
  const config::Metadata& metadata = virtual_service.metadata;
  const Key own{Kind::kVirtualService, metadata.name_space, metadata.name};
  std::map<Key, std::string> known;  // each is looked at once: it may have as many routes as this one
  for (int i = 0; i < spec.http_size() && out.size() < kMostSaid; ++i) {
    if (!spec.http(i).has_delegate()) continue;
    std::string what = "without spec.hosts this is a delegate itself, and may not delegate further: the route leads nowhere";
    if (!spec.hosts().empty()) {
      const Key to = key_of(spec.http(i).delegate(), own.name_space);
      auto place = known.find(to);
      if (place == known.end() && known.size() == kMostNamed) {
        out.push_back(
            culvert::format("spec.http[{}].delegate: the delegates after the first {} are not looked at", i, kMostNamed));
        break;
      }
      if (place == known.end()) place = known.emplace(to, trouble(own, to, objects)).first;
      what = place->second;
    }
    if (!what.empty()) out.push_back(culvert::format("spec.http[{}].delegate: {}", i, what));
  }
  return out;
}

}  // namespace culvert::derive
