#include "common/derive/network.h"

#include <algorithm>
#include <utility>

#include "common/config/problem.h"
#include "proto/gateway/gateway.pb.h"

namespace culvert::derive {
namespace {

using config::Kind;
using culvert::gateway::Gateway;
using culvert::gateway::Listener;

constexpr std::string_view kRemote = "istio-remote", kEastWest = "istio-east-west";

const Gateway* gateway_spec(const config::Custom& gateway) { return dynamic_cast<const Gateway*>(gateway.spec.get()); }

const Listener* tunnels(const Gateway& spec) {
  const auto found = std::ranges::find(spec.listeners(), "HBONE", &Listener::protocol);
  return found == spec.listeners().end() ? nullptr : &*found;
}

// Of its status, as a controller wrote them; nobody need write any for a gateway that is not ours: then those that its author asks for.
std::vector<std::string> addresses_of(const config::Custom& gateway, const Gateway& spec) {
  std::vector<std::string> out;
  const auto add = [&out](const std::string& type, const std::string& value) {
    const bool known = type.empty() || type == "IPAddress" || type == "Hostname";
    if (known && !value.empty() && !std::ranges::contains(out, value)) out.push_back(value);
  };
  for (const config::StatusAddress& one : gateway.addresses) add(one.type, one.value);
  if (!out.empty()) return out;
  for (const auto& one : spec.addresses()) add(one.type(), one.value());
  return out;
}

// That of the pods at the other end.
std::string account_of(const config::Custom& gateway) {
  const auto own = config::value_of(gateway.metadata.annotations, "gateway.istio.io/service-account");
  return own.empty() ? gateway.metadata.name + "-" + std::string(kRemote) : std::string(own);
}

std::string uid_of(const NetworkWay& way) {
  return "NetworkGateway/" + way.network + "/" + way.address + "/" + std::to_string(way.port);
}

template <class Visit>
void each_gateway(std::string_view network, const Objects& objects, Visit visit) {
  for (const auto& [created, name_space, name] : objects.gateways_of(network)) {
    if (const auto* gateway = objects.find<config::Custom>(Kind::kGateway, name_space, name)) visit(*gateway);
  }
}

}  // namespace

std::vector<NetworkWay> ways_of(const config::Custom& gateway) {
  std::vector<NetworkWay> out;
  const Gateway* spec = gateway_spec(gateway);
  const auto network = config::value_of(gateway.metadata.labels, kNetworkLabel);
  const Listener* listener = spec ? tunnels(*spec) : nullptr;
  if (network.empty() || !listener || spec->gateway_class_name() != kRemote) return out;
  for (std::string& address : addresses_of(gateway, *spec))
    out.push_back({std::string(network), gateway.metadata.name_space, account_of(gateway), std::move(address),
                   static_cast<std::uint16_t>(listener->port()), gateway.metadata.created});
  return out;
}

std::optional<model::GatewayAddress> gateway_into(std::string_view network, const Objects& objects) {
  std::optional<model::GatewayAddress> out;
  each_gateway(network, objects, [&](const config::Custom& gateway) {
    for (const NetworkWay& way : ways_of(gateway)) {
      if (out) return;
      const auto address = IpAddress::parse(way.address);
      if (address) out = model::GatewayAddress{model::NetworkAddress{way.network, *address}, way.port};
      else out = model::GatewayAddress{model::ServiceName{way.name_space, way.address}, way.port};
    }
  });
  return out;
}

std::vector<model::Workload> gateway_workloads(const Objects& objects, const Settings& settings) {
  std::vector<model::Workload> out;
  for (const std::string& network : objects.gateway_networks()) {
    each_gateway(network, objects, [&](const config::Custom& gateway) {
      for (const NetworkWay& way : ways_of(gateway)) {
        model::Workload& one = out.emplace_back();
        one.uid = one.name = uid_of(way);
        one.name_space = way.name_space;
        one.service_account = way.service_account;
        one.trust_domain = settings.trust_domain;
        one.network = network;
        if (const auto address = IpAddress::parse(way.address)) one.addresses = {*address};
        else one.hostname = way.address;
      }
    });
  }
  return out;
}

std::vector<std::string> network_doubts(const config::Custom& gateway) {
  const Gateway* spec = gateway_spec(gateway);
  if (!spec) return {};
  if (spec->gateway_class_name() == kEastWest)
    return {"class istio-east-west: this version runs no gateways: other networks find nobody of this one"};
  if (spec->gateway_class_name() != kRemote) return {};
  if (config::value_of(gateway.metadata.labels, kNetworkLabel).empty())
    return {"has no label " + std::string(kNetworkLabel) + ": nobody knows what network it leads into"};
  if (!tunnels(*spec)) return {"spec.listeners: none is of protocol HBONE: nobody is led through it"};
  if (addresses_of(gateway, *spec).empty()) return {"spec.addresses: has no address: nobody is led through it"};
  return {"leads into another network, which this version does not go to yet: connections there are refused"};
}

std::string network_trouble(std::string_view network, const Objects& objects, const Settings& settings) {
  if (network.empty() || network == network_of_mesh(objects, settings) || gateway_into(network, objects)) return "";
  return "is in network " + config::quote(std::string(network)) + ", and no Gateway of class istio-remote with label " +
         std::string(kNetworkLabel) + ": " + std::string(network) + " says how to get there: connections to it are refused";
}

}  // namespace culvert::derive
