#include "controlplane/webhook/ownership.h"

#include <google/protobuf/message.h>

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <string>
#include <string_view>

#include "proto/gateway/gateway.pb.h"

namespace culvert::controlplane {
namespace {

namespace json = boost::json;
using config::Kind;

std::string_view text_in(const json::object& in, std::string_view name) {
  const auto* value = in.if_contains(name);
  return value != nullptr && value->is_string() ? std::string_view(value->as_string()) : std::string_view();
}

const json::object& object_in(const json::object& in, std::string_view name) {
  static const json::object kNone;
  const auto* value = in.if_contains(name);
  return value != nullptr && value->is_object() ? value->as_object() : kNone;
}

bool is_our_controller(std::string_view name) { return name.starts_with("culvert.dev/") || name.starts_with("istio.io/"); }

bool is_our_class(std::string_view name, const derive::Objects* among) {
  constexpr std::array<std::string_view, 6> kOurs = {"culvert",        "culvert-waypoint", "istio",
                                                     "istio-waypoint", "istio-east-west",  "istio-remote"};
  if (std::ranges::contains(kOurs, name)) return true;
  const auto* found = among ? among->find<config::Custom>(Kind::kGatewayClass, "", name) : nullptr;
  const auto* spec = found ? dynamic_cast<const gateway::GatewayClass*>(found->spec.get()) : nullptr;
  return spec && is_our_controller(spec->controller_name());
}

bool is_our_gateway(std::string_view ns, std::string_view name, const derive::Objects* among) {
  const auto* found = among ? among->find<config::Custom>(Kind::kGateway, ns, name) : nullptr;
  const auto* spec = found ? dynamic_cast<const gateway::Gateway*>(found->spec.get()) : nullptr;
  return spec && is_our_class(spec->gateway_class_name(), among);
}

// What a route or a ListenerSet hangs on: a Service is the mesh's, and the mesh is ours.
bool is_our_parent(const json::object& parent, std::string_view ns, const derive::Objects* among) {
  const std::string_view kind = text_in(parent, "kind");
  if (kind == "Service" || kind == "ServiceEntry") return true;
  if (!kind.empty() && kind != "Gateway") return false;
  const std::string_view elsewhere = text_in(parent, "namespace");
  return is_our_gateway(elsewhere.empty() ? ns : elsewhere, text_in(parent, "name"), among);
}

}  // namespace

bool concerns_us(const json::object& object, const derive::Objects* among) {
  if (!text_in(object, "apiVersion").starts_with("gateway.networking.k8s.io/")) return true;
  const std::string_view kind = text_in(object, "kind"), ns = text_in(object_in(object, "metadata"), "namespace");
  const json::object& spec = object_in(object, "spec");
  if (kind == "GatewayClass") return is_our_controller(text_in(spec, "controllerName"));
  if (kind == "Gateway") return is_our_class(text_in(spec, "gatewayClassName"), among);
  if (kind == "ListenerSet") return is_our_parent(object_in(spec, "parentRef"), ns, among);
  const auto* parents = spec.if_contains("parentRefs");
  return parents != nullptr && parents->is_array() && std::ranges::any_of(parents->as_array(), [&](const json::value& each) {
           return each.is_object() && is_our_parent(each.as_object(), ns, among);
         });
}

}  // namespace culvert::controlplane
