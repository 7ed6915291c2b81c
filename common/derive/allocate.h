#pragma once
// Addresses for the hosts of ServiceEntries that have none, so that DNS has something to answer and a connection says which host it is for
// (protocols.md §2.6): 240.240.0.0/16 and 2001:2::/48, as istiod's ip-autoallocate. Pure.
//
// Stable: what stands in status.addresses stays as long as its host does. A new address is looked for from a place that the names of entry and host
// say, not from the first that is free: an entry that is made anew gets what it had, and what an old one had is not soon somebody else's. All replicas
// that see the same objects say the same.

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/derive/objects.h"

namespace culvert::derive {

// status.addresses as they should be, of the ServiceEntries whose status says something else. Empty: to be cleared, since it may have none any more.
// Two entries with one address: the older one keeps it. What stands in spec.addresses takes none from anybody: whoever may write a ServiceEntry may write
// the whole block there. New addresses are others, as long as there are any near.
using Allocations = std::map<config::Key, std::vector<config::StatusAddress>>;
Allocations allocate(const Objects& objects);

// Whether a range has addresses out of which allocate() gives.
bool in_automatic_block(const Cidr& range);

// Whether a host of this entry is to be given addresses: not with resolution NONE, with spec.addresses, or with the label
// networking.istio.io/enable-autoallocate-ip=false; a wildcard only with resolution DYNAMIC_DNS.
bool wants_address(const config::Custom& entry, std::string_view host);

}  // namespace culvert::derive
