#pragma once
// What the mesh answers to a DNS query of one of its pods (protocols.md §6.4). Pure: reads the snapshot, does no I/O.

#include <cstdint>
#include <optional>
#include <string_view>

#include "common/model/mesh.h"
#include "ztunnel/dns/message.h"

namespace culvert::ztunnel::dns {

// Nothing when the mesh has no say, and the query goes on to the resolver that the pod asked. Only A and AAAA for names of services
// are answered: with the service's addresses in the client's network, or, for a headless service of the cluster, with the addresses
// of its healthy endpoints. A service without an address of the family asked for is answered with no records; so is one of a ServiceEntry that has no
// address at all and a waypoint, so that nobody passes that by.
// `random` orders the addresses.
std::optional<Answer> answer(const model::Mesh& mesh, const model::Workload& client, const Query& query,
                             std::string_view cluster_domain, std::uint64_t random);

}  // namespace culvert::ztunnel::dns
