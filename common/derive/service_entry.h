#pragma once
// ServiceEntries -> model services, one a host (protocols.md §2.6). Their endpoints: workload_entry.h. Pure.
//
// A host is one service in each namespace: that of a Kubernetes Service of this name, else of the oldest entry that names it. exportTo is not followed,
// as ambient does not: who sees an entry is meshConfig.serviceEntryVisibility.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/derive/objects.h"
#include "common/model/service.h"

namespace culvert::derive {

// The ports that this kind of mesh carries: all but UDP.
struct EntryPort {
  std::string_view name;
  std::uint16_t port = 0;
  std::uint16_t target = 0;  // of an endpoint that does not say another by the port's name
  std::string_view protocol;
};
std::vector<EntryPort> entry_ports(const config::Custom& entry);

// The hosts that are services of this entry, each once, in its order: not those that are no names, nor those that belong to somebody else. None at all
// when an address cannot be read or nobody is to see the entry.
std::vector<std::string> entry_hosts(const config::Custom& entry, const Objects& objects, const Settings& settings);

// `given`: the addresses that its hosts were given, as in status.addresses.
std::vector<model::Service> entry_services(const config::Custom& entry, std::span<const config::StatusAddress> given,
                                           const Objects& objects, const Settings& settings);

bool is_host(const Cidr& range);  // one address
// 10.0.0.5/24 is 10.0.0.0/24.
Cidr masked(Cidr range);
// What a ServiceEntry writes into spec.addresses, masked; nothing of another kind, or when one of them cannot be read.
std::vector<Cidr> written_addresses(const config::Object& object);

// A name of DNS, or "*." before one.
bool is_host(std::string_view text);
bool is_wildcard(std::string_view host);

// What is legal about it and probably not meant.
std::vector<std::string> entry_doubts(const config::Custom& entry, const Objects& objects, const Settings& settings);

}  // namespace culvert::derive
