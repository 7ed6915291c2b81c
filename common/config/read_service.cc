// Services, their endpoints, ConfigMaps.
#include <algorithm>

#include "common/config/read.h"

namespace culvert::config {
namespace {

ServicePort read_service_port(Fields& fields) {
  ServicePort port;
  fields.require("port", "write the port that clients connect to");
  port.name = fields.text("name");
  port.port = fields.port("port");
  port.target = fields.port_ref("targetPort").value_or(PortRef{port.port, ""});
  port.transport = read_transport(fields);
  port.app_protocol = fields.text("appProtocol");
  return port;
}

// clusterIP and clusterIPs: addresses, or "None" for a headless service.
void read_cluster_ips(Fields& spec, Service& service) {
  std::vector<std::string> written = spec.texts("clusterIPs");
  const std::string single = spec.text("clusterIP");
  if (written.empty() && !single.empty()) written = {single};
  for (const std::string& text : written) {
    if (text == "None") {
      service.headless = true;
    } else if (auto address = IpAddress::parse(text)) {
      service.cluster_ips.push_back(*address);
    } else {
      spec.wrong(spec.has("clusterIPs") ? "clusterIPs" : "clusterIP", quote(text) + " is not an IP address",
                 "write an address, or None for a headless service");
    }
  }
}

void read_service_spec(Fields& spec, Service& service) {
  using enum Service::Type;
  service.type = spec.choice<Service::Type>(
      "type", kClusterIp,
      {{"ClusterIP", kClusterIp}, {"NodePort", kNodePort}, {"LoadBalancer", kLoadBalancer}, {"ExternalName", kExternalName}});
  if (service.type == kExternalName) spec.skip({"externalName"});
  if (spec.text("sessionAffinity", "None") != "None") spec.not_followed("sessionAffinity");
  spec.skip({"ipFamilyPolicy", "externalTrafficPolicy", "allocateLoadBalancerNodePorts"});
  read_cluster_ips(spec, service);
  service.selector = spec.labels("selector");
  spec.each("ports", [&](Fields& port) { service.ports.push_back(read_service_port(port)); });
  for (const std::string& family : spec.texts("ipFamilies")) {
    if (family == "IPv4" || family == "IPv6") {
      service.ip_families.push_back(family == "IPv4" ? IpFamily::kIpv4 : IpFamily::kIpv6);
    } else {
      spec.wrong("ipFamilies", "unknown value " + quote(family), "write IPv4 or IPv6");
    }
  }
  service.traffic_distribution = spec.text("trafficDistribution");
  service.internal_traffic_local = spec.choice<bool>("internalTrafficPolicy", false, {{"Cluster", false}, {"Local", true}});
  service.publish_not_ready = spec.flag("publishNotReadyAddresses");
}

EndpointSlice::Endpoint read_endpoint(Fields& fields, std::string_view name_space) {
  using enum EndpointSlice::Endpoint::Target;
  EndpointSlice::Endpoint endpoint;
  EndpointSlice::Endpoint::Own own;
  own.addresses = fields.addresses("addresses");
  own.node_name = fields.text("nodeName");
  own.zone = fields.text("zone");
  fields.map("conditions", [&](Fields& conditions) { own.ready = conditions.flag("ready", true); });
  fields.map("targetRef", [&](Fields& target) {
    const std::string where = target.text("namespace");
    endpoint.pod = target.text("name");
    if (target.text("kind") == "Pod") endpoint.target = where.empty() || where == name_space ? kPod : kForeignPod;
  });
  endpoint.own = std::move(own);
  return endpoint;
}

}  // namespace

Object read_service(Fields& object, Metadata metadata) {
  Service service;
  service.metadata = std::move(metadata);
  object.skip({"status"});
  object.require("spec", "write ports and selector");
  object.map("spec", [&](Fields& spec) { read_service_spec(spec, service); });
  return service;
}

Object read_endpoint_slice(Fields& object, Metadata metadata) {
  EndpointSlice slice;
  slice.metadata = std::move(metadata);
  slice.service = value_of(slice.metadata.labels, "kubernetes.io/service-name");
  const std::string type = object.text("addressType");
  if (type != "FQDN") {  // deprecated, and nothing that a mesh could carry
    object.each("endpoints",
                [&](Fields& endpoint) { slice.endpoints.push_back(read_endpoint(endpoint, slice.metadata.name_space)); });
  } else {
    object.skip({"endpoints"});
  }
  object.each("ports",
              [&](Fields& fields) { slice.ports.push_back({fields.text("name"), fields.port("port"), read_transport(fields)}); });
  return slice;
}

Object read_config_map(Fields& object, Metadata metadata) {
  ConfigMap map;
  map.metadata = std::move(metadata);
  object.skip({"immutable"});
  const Labels data = object.labels("data");
  map.data.insert(data.begin(), data.end());
  return map;
}

}  // namespace culvert::config
