// The one place that names the generated messages, so that each of them is in the program.
#include "common/config/kinds.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <memory>

#include "common/base/check.h"
#include "common/config/message.h"
#include "common/config/read.h"
#include "proto/culvert/schema.pb.h"
#include "proto/gateway/gateway.pb.h"
#include "proto/gateway/route.pb.h"
#include "proto/istio/extensions/v1alpha1/wasm.pb.h"
#include "proto/istio/mesh/v1alpha1/config.pb.h"
#include "proto/istio/mesh/v1alpha1/network.pb.h"
#include "proto/istio/networking/v1alpha3/destination_rule.pb.h"
#include "proto/istio/networking/v1alpha3/envoy_filter.pb.h"
#include "proto/istio/networking/v1alpha3/gateway.pb.h"
#include "proto/istio/networking/v1alpha3/service_entry.pb.h"
#include "proto/istio/networking/v1alpha3/sidecar.pb.h"
#include "proto/istio/networking/v1alpha3/virtual_service.pb.h"
#include "proto/istio/networking/v1alpha3/workload_entry.pb.h"
#include "proto/istio/networking/v1alpha3/workload_group.pb.h"
#include "proto/istio/networking/v1beta1/proxy_config.pb.h"
#include "proto/istio/security/v1beta1/authorization_policy.pb.h"
#include "proto/istio/security/v1beta1/peer_authentication.pb.h"
#include "proto/istio/security/v1beta1/request_authentication.pb.h"
#include "proto/istio/telemetry/v1alpha1/telemetry.pb.h"

namespace culvert::config {
namespace {

using google::protobuf::Descriptor;

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return text;
}

CustomKind row(Kind kind, const Descriptor* spec) {
  const culvert::Kind& said = spec->options().GetExtension(culvert::kind);
  CULVERT_CHECK(!said.group().empty() && said.versions_size() > 0);
  const std::string name = said.name().empty() ? std::string(spec->name()) : said.name();
  return {kind,
          said.group(),
          name,
          said.plural().empty() ? lower(name) + "s" : said.plural(),
          {said.short_names().begin(), said.short_names().end()},
          {said.versions().begin(), said.versions().end()},
          spec,
          said.spec_required()};
}

std::vector<CustomKind> make_rows() {
  namespace networking = istio::networking::v1alpha3;
  namespace security = istio::security::v1beta1;
  return {
      row(Kind::kPeerAuthentication, security::PeerAuthentication::descriptor()),
      row(Kind::kAuthorizationPolicy, security::AuthorizationPolicy::descriptor()),
      row(Kind::kRequestAuthentication, security::RequestAuthentication::descriptor()),
      row(Kind::kVirtualService, networking::VirtualService::descriptor()),
      row(Kind::kDestinationRule, networking::DestinationRule::descriptor()),
      row(Kind::kIstioGateway, networking::Gateway::descriptor()),
      row(Kind::kServiceEntry, networking::ServiceEntry::descriptor()),
      row(Kind::kSidecar, networking::Sidecar::descriptor()),
      row(Kind::kWorkloadEntry, networking::WorkloadEntry::descriptor()),
      row(Kind::kWorkloadGroup, networking::WorkloadGroup::descriptor()),
      row(Kind::kEnvoyFilter, networking::EnvoyFilter::descriptor()),
      row(Kind::kProxyConfig, istio::networking::v1beta1::ProxyConfig::descriptor()),
      row(Kind::kTelemetry, istio::telemetry::v1alpha1::Telemetry::descriptor()),
      row(Kind::kWasmPlugin, istio::extensions::v1alpha1::WasmPlugin::descriptor()),
      row(Kind::kGatewayClass, gateway::GatewayClass::descriptor()),
      row(Kind::kGateway, gateway::Gateway::descriptor()),
      row(Kind::kHttpRoute, gateway::HTTPRoute::descriptor()),
      row(Kind::kGrpcRoute, gateway::GRPCRoute::descriptor()),
      row(Kind::kTlsRoute, gateway::TLSRoute::descriptor()),
      row(Kind::kTcpRoute, gateway::TCPRoute::descriptor()),
      row(Kind::kReferenceGrant, gateway::ReferenceGrant::descriptor()),
      row(Kind::kBackendTlsPolicy, gateway::BackendTLSPolicy::descriptor()),
      row(Kind::kListenerSet, gateway::ListenerSet::descriptor()),
  };
}

// Others write the status: what of it cannot be read is as good as not there, and never makes an object broken.
std::vector<StatusAddress> read_addresses(const Tree* status) {
  std::vector<StatusAddress> out;
  const Tree* list = status ? status->find("addresses") : nullptr;
  if (!list || list->type != Tree::Type::kList) return out;
  const auto text = [](const Tree& entry, std::string_view name) {
    const Tree* tree = entry.find(name);
    return tree && tree->type == Tree::Type::kString ? tree->text : std::string();
  };
  for (const Tree& entry : list->items) {
    if (out.size() >= Custom::kMostAddresses) break;
    StatusAddress address{.type = text(entry, "type"), .host = text(entry, "host"), .value = text(entry, "value")};
    if (!address.value.empty() && address.value.size() <= 253 && address.host.size() <= 253) out.push_back(std::move(address));
  }
  return out;
}

}  // namespace

std::span<const CustomKind> custom_kinds() {
  static const std::vector<CustomKind> kRows = make_rows();
  return kRows;
}

const CustomKind* find_kind(std::string_view group, std::string_view name) {
  const auto rows = custom_kinds();
  const auto found = std::ranges::find_if(rows, [&](const CustomKind& row) { return row.group == group && row.name == name; });
  return found == rows.end() ? nullptr : &*found;
}

const CustomKind* find_kind(Kind kind) {
  const auto rows = custom_kinds();
  const auto found = std::ranges::find(rows, kind, &CustomKind::kind);
  return found == rows.end() ? nullptr : &*found;
}

Result<Kind> kind_called(std::string_view word) {
  struct Core {
    Kind kind;
    std::string_view group, name, plural, short_name;
  };
  static constexpr Core kCore[] = {{Kind::kNamespace, "", "namespace", "namespaces", "ns"},
                                   {Kind::kNode, "", "node", "nodes", "no"},
                                   {Kind::kServiceAccount, "", "serviceaccount", "serviceaccounts", "sa"},
                                   {Kind::kPod, "", "pod", "pods", "po"},
                                   {Kind::kService, "", "service", "services", "svc"},
                                   {Kind::kConfigMap, "", "configmap", "configmaps", "cm"},
                                   {Kind::kEndpointSlice, "discovery.k8s.io", "endpointslice", "endpointslices", ""}};
  const std::string wanted = lower(std::string(word));
  const auto dot = wanted.find('.');
  const std::string name = wanted.substr(0, dot), group = dot == wanted.npos ? "" : wanted.substr(dot + 1);
  std::vector<std::pair<Kind, std::string>> found;  // and how to spell it
  const auto look = [&](Kind kind, std::string_view its_group, bool called) {
    if (called && !name.empty() && (dot == wanted.npos || group == its_group))
      found.emplace_back(kind, name + (its_group.empty() ? "" : "." + std::string(its_group)));
  };
  for (const Core& core : kCore) look(core.kind, core.group, name == core.name || name == core.plural || name == core.short_name);
  for (const CustomKind& kind : custom_kinds())
    look(kind.kind, kind.group, name == lower(kind.name) || name == kind.plural || std::ranges::contains(kind.short_names, name));
  if (found.size() == 1) return found.front().first;
  if (found.empty()) return failure(quote(word) + " is no kind of object that is read here");
  return failure(quote(word) + " may be several (write " + found[0].second + " or " + found[1].second + ")");
}

Object read_custom(Fields& object, Metadata metadata, Kind kind) {
  const CustomKind* row = find_kind(kind);
  CULVERT_CHECK(row != nullptr);
  Custom custom{.metadata = std::move(metadata), .kind = kind, .spec = {}, .addresses = {}};
  const auto* prototype = google::protobuf::MessageFactory::generated_factory()->GetPrototype(row->spec);
  std::shared_ptr<google::protobuf::Message> spec(prototype->New());
  const Tree* status = object.find("status");
  if (kind == Kind::kGateway || kind == Kind::kServiceEntry) custom.addresses = read_addresses(status);
  if (row->spec_required) object.require("spec", "");
  if (const Tree* tree = object.of_type("spec", Tree::Type::kMap)) read_message(object.report(), *tree, "spec", *spec);
  custom.spec = std::move(spec);
  return custom;
}

std::vector<Problem> read_text(const Place& place, std::string_view object, std::string_view field, std::string_view text,
                               google::protobuf::Message& message) {
  Report report{.file = place.file, .object = std::string(object), .strict = true, .problems = {}, .unread = {}};
  const std::vector<Document> documents = read_yaml(text);
  const auto refuse = [&](int line, std::string what) { report.wrong(line, std::string(field), std::move(what)); };
  if (documents.size() > 1) {
    refuse(documents[1].line, "has more than one document");
  } else if (!documents.empty() && !documents[0].root) {
    refuse(documents[0].error_line, documents[0].error);
  } else if (!documents.empty()) {
    read_message(report, *documents[0].root, std::string(field), message);
  }
  for (Problem& problem : report.problems) {
    problem.place.line = place.line > 0 && problem.place.line > 0 ? place.line + problem.place.line - 1 : place.line;
  }
  return std::move(report.problems);
}

}  // namespace culvert::config
