#pragma once
// Kubernetes Services -> model services (protocols.md §2.6). Pure.

#include <optional>
#include <string>

#include "common/derive/objects.h"
#include "common/model/service.h"

namespace culvert::derive {

// "web.shop.svc.cluster.local"
std::string hostname_of(const config::Metadata& service, const Settings& settings);

// Nothing for ExternalName services: they are DNS aliases, not something to connect to.
std::optional<model::Service> service_of(const config::Service& service, const Objects& objects, const Settings& settings);

// What a service has from the object's labels, its namespace and the waypoint that these name: the same for Services and ServiceEntries.
void set_waypoint(const config::Metadata& metadata, const Objects& objects, const Settings& settings, model::Service& out);

// Which endpoints networking.istio.io/traffic-distribution prefers, of the object or of its namespace; nothing when neither says.
// `wish` is what the object's spec says: it goes first.
model::LoadBalancing preference(const config::Metadata& metadata, std::string_view wish, const Objects& objects);

// "http", "HTTP2", "grpc", ... in any case.
model::AppProtocol protocol_called(std::string_view word);

// The service's ports as far as this kind of mesh carries them: TCP.
std::vector<const config::ServicePort*> tcp_ports(const config::Service& service);

}  // namespace culvert::derive
