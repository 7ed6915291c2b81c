#include "common/config/object.h"

#include <google/protobuf/message.h>
#include <google/protobuf/util/message_differencer.h>

#include <array>
#include <cstddef>
#include <type_traits>

namespace culvert::config {
namespace {

constexpr std::array<std::string_view, 32> kKindNames = {"Namespace",
                                                         "Node",
                                                         "ServiceAccount",
                                                         "Pod",
                                                         "Service",
                                                         "EndpointSlice",
                                                         "ConfigMap",
                                                         "Deployment",
                                                         "StatefulSet",
                                                         "PeerAuthentication",
                                                         "AuthorizationPolicy",
                                                         "RequestAuthentication",
                                                         "VirtualService",
                                                         "DestinationRule",
                                                         "Gateway.networking.istio.io",
                                                         "ServiceEntry",
                                                         "Sidecar",
                                                         "WorkloadEntry",
                                                         "WorkloadGroup",
                                                         "EnvoyFilter",
                                                         "ProxyConfig",
                                                         "Telemetry",
                                                         "WasmPlugin",
                                                         "GatewayClass",
                                                         "Gateway",
                                                         "HTTPRoute",
                                                         "GRPCRoute",
                                                         "TLSRoute",
                                                         "TCPRoute",
                                                         "ReferenceGrant",
                                                         "BackendTLSPolicy",
                                                         "ListenerSet"};
static_assert(kKindNames.size() == static_cast<std::size_t>(Kind::kListenerSet) + 1);
constexpr std::size_t kCustom = static_cast<std::size_t>(Kind::kAuthorizationPolicy) + 1;
static_assert(kCustom + 1 == std::variant_size_v<Object>);
static_assert(std::is_same_v<std::variant_alternative_t<kCustom - 1, Object>, AuthorizationPolicy>);
static_assert(std::is_same_v<std::variant_alternative_t<static_cast<std::size_t>(Kind::kPod), Object>, Pod>);

}  // namespace

std::string_view name(Kind kind) { return kKindNames[static_cast<std::size_t>(kind)]; }

bool is_namespaced(Kind kind) { return kind != Kind::kNamespace && kind != Kind::kNode && kind != Kind::kGatewayClass; }

bool is_custom(Kind kind) { return static_cast<std::size_t>(kind) >= kCustom; }

bool has_status(Kind kind) {
  return kind == Kind::kService || is_policy(kind) || (is_custom(kind) && kind != Kind::kReferenceGrant);
}

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

bool operator==(const Custom& a, const Custom& b) {
  if (a.kind != b.kind || a.metadata != b.metadata || a.addresses != b.addresses) return false;
  return a.spec == b.spec || (a.spec && b.spec && google::protobuf::util::MessageDifferencer::Equals(*a.spec, *b.spec));
}

Kind kind_of(const Object& object) {
  const Custom* custom = std::get_if<Custom>(&object);
  return custom ? custom->kind : static_cast<Kind>(object.index());
}

const Metadata& metadata_of(const Object& object) {
  return std::visit([](const auto& value) -> const Metadata& { return value.metadata; }, object);
}

Key key_of(const Object& object) {
  const Metadata& metadata = metadata_of(object);
  return {kind_of(object), metadata.name_space, metadata.name};
}

}  // namespace culvert::config
