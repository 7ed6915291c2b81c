#include "common/config/object.h"

#include <array>
#include <cstddef>
#include <type_traits>

namespace culvert::config {
namespace {

constexpr std::array<std::string_view, 11> kKindNames = {
    "Namespace",          "Node",      "ServiceAccount", "Pod",         "Service",
    "EndpointSlice",      "ConfigMap", "Deployment",     "StatefulSet", "PeerAuthentication",
    "AuthorizationPolicy"};
static_assert(kKindNames.size() == std::variant_size_v<Object>);
static_assert(std::is_same_v<std::variant_alternative_t<static_cast<std::size_t>(Kind::kAuthorizationPolicy), Object>,
                             AuthorizationPolicy>);
static_assert(std::is_same_v<std::variant_alternative_t<static_cast<std::size_t>(Kind::kPod), Object>, Pod>);

}  // namespace

std::string_view name(Kind kind) { return kKindNames[static_cast<std::size_t>(kind)]; }

bool is_namespaced(Kind kind) { return kind != Kind::kNamespace && kind != Kind::kNode; }

bool is_policy(Kind kind) { return kind == Kind::kPeerAuthentication || kind == Kind::kAuthorizationPolicy; }

std::string Key::text() const {
  std::string out(config::name(kind));
  out += ' ';
  if (!name_space.empty()) out.append(name_space).append("/");
  return out += name;
}

bool selects(const Labels& wanted, const Labels& labels) {
  for (const auto& [key, value] : wanted) {
    const auto found = labels.find(key);
    if (found == labels.end() || found->second != value) return false;
  }
  return true;
}

std::string_view value_of(const Labels& labels, std::string_view name) {
  const auto found = labels.find(std::string(name));
  return found == labels.end() ? std::string_view{} : std::string_view{found->second};
}

Kind kind_of(const Object& object) { return static_cast<Kind>(object.index()); }

const Metadata& metadata_of(const Object& object) {
  return std::visit([](const auto& value) -> const Metadata& { return value.metadata; }, object);
}

Key key_of(const Object& object) {
  const Metadata& metadata = metadata_of(object);
  return {kind_of(object), metadata.name_space, metadata.name};
}

}  // namespace culvert::config
