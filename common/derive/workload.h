#pragma once
// Pods and the addresses of EndpointSlices -> model workloads (protocols.md §2.3, §2.6). Pure.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/derive/objects.h"
#include "common/model/workload.h"

namespace culvert::derive {

std::string pod_uid(std::string_view name_space, std::string_view name,
                    const Settings& settings);  // "Kubernetes//Pod/shop/web-0"

// Nothing for a pod that has ended or has no address yet.
std::optional<model::Workload> workload_of(const config::Pod& pod, const Objects& objects, const Settings& settings);

// One for each address that no pod stands behind.
std::vector<model::Workload> workloads_of(const config::EndpointSlice& slice, const Objects& objects, const Settings& settings);

// Of whatever has labels and annotations: how it is reached, what it is called, and which policies name it by their selectors ("namespace/name").
void set_tunnel(const config::Metadata& metadata, model::Workload& out);
void set_canonical(const config::Metadata& metadata, model::Workload& out);  // needs workload_name
std::vector<std::string> policies_of(const config::Metadata& metadata, const Objects& objects, const Settings& settings);

model::Locality locality_of(const config::Node& node);

// A port by the name that it has in the pod; 0 when it has none of that name.
std::uint16_t named_port(const config::Pod& pod, std::string_view name);

// What made the pod: the Deployment behind its ReplicaSet, the CronJob behind its Job, else its owner, else itself.
std::string workload_name(const config::Pod& pod);

}  // namespace culvert::derive
