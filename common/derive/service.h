#pragma once
// Kubernetes Services -> model services (protocols.md §2.6). Pure.

#include <optional>
#include <string>

#include "common/derive/objects.h"
#include "common/model/service.h"

namespace culvert::derive {

// "web.shop.svc.cluster.local"
std::string hostname_of(const config::Metadata& service, const Settings& settings);

// The waypoint that a label of the object names, in its own namespace or in that of istio.io/use-waypoint-namespace; none for "none".
// Whether such a waypoint exists is not asked: one that is named but missing is refused by the data plane, never passed by.
std::optional<model::GatewayAddress> waypoint_named(std::string_view name, std::string_view name_space, const Settings& settings);

// Nothing for ExternalName services: they are DNS aliases, not something to connect to.
std::optional<model::Service> service_of(const config::Service& service, const Objects& objects, const Settings& settings);

// The service's ports as far as this kind of mesh carries them: TCP.
std::vector<const config::ServicePort*> tcp_ports(const config::Service& service);

}  // namespace culvert::derive
