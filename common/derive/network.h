#pragma once
// Networks, and the ways into them (protocols.md §2.3, §2.6): whoever is in another network than a client is reached through a gateway of that network.
// A gateway is a Gateway of class istio-remote with the label topology.istio.io/network and a listener of protocol HBONE: it says where the other
// network's own gateway is. Pure.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/derive/objects.h"
#include "common/model/workload.h"

namespace culvert::derive {

// How a network is entered: by its oldest gateway, of equally old ones by the first by namespace and name. Whoever may create a Gateway anywhere may say
// that it leads into a network, and takes nobody's way thereby. Nothing when it has none.
std::optional<model::GatewayAddress> gateway_into(std::string_view network, const Objects& objects);

// What the addresses of gateways lead to: one for each address of each gateway of every network.
std::vector<model::Workload> gateway_workloads(const Objects& objects, const Settings& settings);

// What of a Gateway counts for the two above: equal ways are equal gateways.
struct NetworkWay {
  std::string network, name_space, service_account, address;  // an IP address or a hostname
  std::uint16_t port = 0;
  std::int64_t created = 0;

  friend bool operator==(const NetworkWay&, const NetworkWay&) = default;
};
std::vector<NetworkWay> ways_of(const config::Custom& gateway);

// What is wrong with a Gateway of class istio-remote or istio-east-west.
std::vector<std::string> network_doubts(const config::Custom& gateway);
// Why nobody finds what is in this network; empty when they do.
std::string network_trouble(std::string_view network, const Objects& objects, const Settings& settings);

}  // namespace culvert::derive
