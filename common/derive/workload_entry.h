#pragma once
// WorkloadEntries, and the endpoints that stand in a ServiceEntry, -> model workloads (protocols.md §2.3, §2.6). Pure.

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/derive/objects.h"
#include "common/model/workload.h"

namespace culvert::derive {

std::string workload_entry_uid(std::string_view name_space, std::string_view name, const Settings& settings);

// Nothing for one that has no address that a mesh could reach: none at all and no network, or a Unix socket.
std::optional<model::Workload> workload_of(const config::Custom& workload_entry, const Objects& objects,
                                           const Settings& settings);

// The labels by which it is selected: those of its metadata and of its spec, where both say something the former.
config::Metadata labelled(const config::Custom& workload_entry);

// The endpoints of a ServiceEntry; where it has none and is resolved by DNS, one a host that is known by the host's name.
std::vector<model::Workload> workloads_of(const config::Custom& service_entry, const Objects& objects, const Settings& settings);

// The IP address of a WorkloadEntry, and the network that it names, which may be empty; nothing when it has none. A view of `workload_entry`.
struct OwnAddress {
  IpAddress address;
  std::string_view network;
};
std::optional<OwnAddress> own_address(const config::Custom& workload_entry);

// How many there are at most: without a look at who else names its hosts.
std::size_t endpoints_in(const config::Custom& service_entry);

// What a pod or WorkloadEntry serves of the ServiceEntries of its namespace that select it. `ports` by name, of the pod or entry.
using PortsByName = std::map<std::string, std::uint16_t, std::less<>>;
void add_entries(const config::Metadata& metadata, const PortsByName& ports, const Objects& objects, const Settings& settings,
                 std::map<std::string, model::PortMap>& out);

std::vector<std::string> workload_entry_doubts(const config::Custom& entry, const Objects& objects, const Settings& settings);
std::vector<std::string> endpoint_doubts(const config::Custom& service_entry, const Objects& objects, const Settings& settings);

}  // namespace culvert::derive
