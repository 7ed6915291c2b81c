// The JSON of istiod's debug pages (protocols.md §8.4), and what is ours in them.
#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <set>

#include "common/base/format.h"
#include "common/config/kinds.h"
#include "common/derive/service.h"
#include "common/dump/dump.h"
#include "common/model/balance.h"
#include "controlplane/debug.h"

namespace culvert::controlplane {
namespace {

namespace json = boost::json;
using Channel = XdsService::Client::Channel;

std::string time_text(std::chrono::system_clock::time_point at) { return rfc3339(at, Fraction::kMillis); }

std::string metadata_of(const xds::Node& node, const std::string& name) {
  const auto found = node.metadata.find(name);
  return found == node.metadata.end() ? "" : found->second;
}

// "ztunnel~10.0.0.1~ztunnel-x.istio-system~...": its third part begins with the pod's name.
std::string proxy_type(const xds::Node& node) { return node.id.substr(0, node.id.find('~')); }

std::string name_space_of(const xds::Node& node) {
  std::string said = metadata_of(node, "NAMESPACE");
  if (!said.empty()) return said;
  const auto last = node.id.rfind('~');
  return last == node.id.npos ? "" : node.id.substr(last + 1, node.id.find('.', last) - last - 1);
}

std::string last_error(const Channel& channel) {
  const auto& refusals = channel.progress.refusals.all();
  std::string out;
  for (const auto& [name, refusal] : refusals) out += (out.empty() ? "" : "; ") + name + ": " + refusal.error;
  return out;
}

json::object resource_status(const Channel& channel) {
  json::object out{{"sent", channel.nonce_sent}, {"acked", channel.nonce_acked}, {"sentTime", time_text(channel.sent_at)}};
  if (const std::string error = last_error(channel); !error.empty()) out["lastError"] = error;
  if (!channel.nacked.empty()) {
    out["lastNack"] = channel.nacked;
    out["lastNackTime"] = time_text(channel.nacked_at);
  }
  return out;
}

json::value text_or_null(const std::string& text) { return text.empty() ? json::value(nullptr) : json::value(text); }

void put_unless_empty(json::object& out, const char* key, const std::string& value) {
  if (!value.empty()) out[key] = value;
}

}  // namespace

std::string syncz(const std::vector<XdsService::Client>& clients, Epoch epoch, std::string_view name_space) {
  json::array out;
  for (const XdsService::Client& client : clients) {
    if (!name_space.empty() && name_space_of(client.self) != name_space) continue;
    json::object one;
    put_unless_empty(one, "cluster_id", metadata_of(client.self, "CLUSTER_ID"));
    put_unless_empty(one, "proxy", client.self.id);
    put_unless_empty(one, "proxy_type", proxy_type(client.self));
    const std::string istio = metadata_of(client.self, "ISTIO_VERSION");
    put_unless_empty(one, "istio_version", istio.empty() ? metadata_of(client.self, "CULVERT_VERSION") : istio);
    json::object resources;
    Epoch applied = client.channels.empty() ? 0 : epoch;
    for (const Channel& channel : client.channels) {
      resources[type_url(channel.type)] = resource_status(channel);
      applied = std::min(applied, channel.progress.applied());
    }
    one["resources"] = std::move(resources);
    one["node"] = client.node;
    one["peer"] = client.peer;
    one["epoch"] = epoch;
    one["epoch_applied"] = applied;
    one["current"] = client.current;
    out.push_back(std::move(one));
  }
  return json::serialize(out) + "\n";
}

std::string connections(const std::vector<XdsService::Client>& clients, bool with_watches) {
  json::array list;
  for (const XdsService::Client& client : clients) {
    json::object one{{"connectionId", client.self.id + "-" + client.connection},
                     {"connectedAt", time_text(client.since)},
                     {"address", client.peer}};
    if (with_watches) {
      json::object metadata, watches;
      for (const auto& [name, text] : client.self.metadata) metadata[name] = text;
      for (const Channel& channel : client.channels) watches[type_url(channel.type)] = json::array();
      one["metadata"] = std::move(metadata);
      one["watches"] = std::move(watches);
    }
    list.push_back(std::move(one));
  }
  json::object out{{"totalClients", clients.size()}};
  if (!list.empty()) out["clients"] = std::move(list);
  return json::serialize(out) + "\n";
}

std::string registryz(const Mesh& mesh) {
  json::array out;
  const auto& objects = mesh.store().objects();
  const derive::Settings& settings = mesh.deriver().settings();
  for (const std::string& name_space : objects.namespaces(config::Kind::kService)) {
    for (const auto& [name, object] : objects.in(config::Kind::kService, name_space)) {
      const auto& service = std::get<config::Service>(*object);
      const auto derived = derive::service_of(service, objects, settings);
      if (!derived) continue;
      json::array ports, addresses;
      for (const config::ServicePort* port : derive::tcp_ports(service))
        ports.push_back({{"name", port->name}, {"port", port->port}, {"protocol", "TCP"}});
      for (const model::Vip& vip : derived->vips) addresses.emplace_back(vip.range.address.text());
      json::object labels;
      for (const auto& [key, value] : service.metadata.labels) labels[key] = value;
      json::object attributes{{"ServiceRegistry", "Kubernetes"}, {"Name", name}, {"Namespace", name_space}};
      attributes["Labels"] = std::move(labels);
      json::object one{
          {"Attributes", std::move(attributes)},
          {"ports", std::move(ports)},
          {"creationTime", time_text(std::chrono::system_clock::time_point(std::chrono::seconds(service.metadata.created)))},
          {"hostname", derived->hostname},
          {"clusterVIPs", {{"Addresses", json::object{{settings.cluster_id, addresses}}}}},
          {"defaultAddress", addresses.empty() ? json::value("0.0.0.0") : addresses.front()},
          {"Resolution", 0},
          {"MeshExternal", false}};
      out.push_back(std::move(one));
    }
  }
  return json::serialize(out) + "\n";
}

std::string endpointz(const Mesh& mesh) {
  json::object out;
  const derive::Deriver& deriver = mesh.deriver();
  const std::string shard = "Kubernetes/" + deriver.settings().cluster_id;
  struct Gathered {
    json::array endpoints;
    std::set<std::string> accounts;
  };
  std::map<std::string, Gathered> services;  // by "namespace/hostname"
  mesh.snapshot().each_workload([&](const model::Workload& workload) {
    for (const auto& [key, ports] : workload.services) {
      const auto service = deriver.services().find(key);
      if (service == deriver.services().end()) continue;
      Gathered& gathered = services[key];
      gathered.accounts.insert(workload.identity().uri());
      json::array addresses;
      for (const IpAddress& address : workload.addresses) addresses.emplace_back(address.text());
      for (const model::ServicePort& port : service->second->ports) {
        const std::uint16_t target = model::target_port(*service->second, ports, port.service_port);
        if (target == 0) continue;
        gathered.endpoints.push_back({{"Addresses", addresses},
                                      {"LegacyClusterPortKey", port.service_port},
                                      {"ServiceAccount", workload.identity().uri()},
                                      {"Network", workload.network},
                                      {"Locality", {{"ClusterID", workload.cluster_id}}},
                                      {"EndpointPort", target},
                                      {"LbWeight", workload.capacity},
                                      {"Namespace", workload.name_space},
                                      {"WorkloadName", workload.workload_name},
                                      {"HostName", workload.name},
                                      {"HealthStatus", workload.health == model::Health::kHealthy ? 1 : 2},
                                      {"NodeName", text_or_null(workload.node)}});
      }
    }
  });
  for (auto& [key, gathered] : services) {
    const auto& service = *deriver.services().at(key);
    auto& by_namespace = out[service.hostname];
    if (!by_namespace.is_object()) by_namespace = json::object();
    by_namespace.as_object()[service.name_space] =
        json::object{{"Shards", json::object{{shard, std::move(gathered.endpoints)}}},
                     {"ServiceAccounts", json::array(gathered.accounts.begin(), gathered.accounts.end())}};
  }
  return json::serialize(out) + "\n";
}

std::string config_dump(const Mesh& mesh) {
  const derive::Deriver& deriver = mesh.deriver();
  model::MeshBuilder builder;
  for (const auto& [key, policy] : deriver.policies()) builder.upsert(policy);
  for (const auto& [key, service] : deriver.services()) builder.upsert(service);
  mesh.snapshot().each_workload(
      [&](model::Workload workload) { builder.upsert(std::make_shared<const model::Workload>(std::move(workload))); });
  json::object out = dump::write(builder.current());
  out["epoch"] = mesh.snapshot().epoch();
  return json::serialize(out) + "\n";
}

std::string configz(const Mesh& mesh) {
  json::array broken, warnings, objects;
  for (const auto& [key, what] : mesh.store().broken())
    broken.push_back({{"object", key.text()}, {"place", what.place}, {"why", what.why}});
  for (const derive::Warning& warning : mesh.deriver().warnings()) {
    warnings.push_back(
        {{"object", warning.object.text()}, {"place", mesh.store().place_of(warning.object)}, {"text", warning.text}});
  }
  std::vector kinds = {config::Kind::kNamespace, config::Kind::kNode,    config::Kind::kServiceAccount,
                       config::Kind::kPod,       config::Kind::kService, config::Kind::kEndpointSlice};
  for (const config::CustomKind& kind : config::custom_kinds()) kinds.push_back(kind.kind);
  for (const auto kind : kinds) {
    for (const std::string& name_space : mesh.store().objects().namespaces(kind)) {
      for (const auto& [name, object] : mesh.store().objects().in(kind, name_space)) {
        const config::Key key{kind, name_space, std::string(name)};
        json::object one{{"object", key.text()}, {"place", mesh.store().place_of(key)}};
        if (const auto last = mesh.store().last_change(key)) one["epoch"] = last->epoch;
        if (!derive::derives_from(kind)) one["enforced"] = false;  // valid, and for a later version
        objects.push_back(std::move(one));
      }
    }
  }
  return json::serialize(json::object{{"epoch", mesh.snapshot().epoch()},
                                      {"broken", std::move(broken)},
                                      {"warnings", std::move(warnings)},
                                      {"objects", std::move(objects)}}) +
         "\n";
}

}  // namespace culvert::controlplane
