#pragma once
// model <-> the protobuf messages of workload discovery (protocols.md §2.4, §3.1). Decoding checks everything that a mistaken or hostile
// peer could send and says what is wrong; encoding is deterministic: equal values give equal bytes.

#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "common/base/result.h"
#include "common/model/policy.h"
#include "common/model/service.h"
#include "common/model/workload.h"

namespace culvert::xds {

// What one resource of type istio.workload.Address holds.
using Address = std::variant<model::Workload, model::Service>;
std::string key(const Address& address);       // uid, or "namespace/hostname": the resource's name
std::string key(const model::Policy& policy);  // "namespace/name"

// Fails on: not a protobuf message; no uid (service: namespace, hostname); an IP address that is not 4 or 16 bytes; the tunnel protocol
// LEGACY_ISTIO_MTLS; enum values that we do not know; ports above 65535; a gateway without destination; a prefix longer than its address.
// A new application protocol, or way to choose IP families, is ignored: without its service a VIP would be passed through in plaintext.
Result<Address> decode_address(std::string_view bytes);

// Fails on: not a protobuf message; no name; unknown scope or action; a StringMatch without kind.
// A prefix with bad bytes or length is dropped from its list, as Istio's ztunnel does. A list that becomes empty by that would make the
// rule match more than was written: such a policy comes back marked invalid, and denies.
Result<model::Policy> decode_policy(std::string_view bytes);

// What stands for a policy that decode_policy refused: marked invalid, it denies where the policy would have applied. Nothing when not even
// its name and scope can be read.
std::optional<model::Policy> unreadable_policy(std::string_view bytes, std::string_view why);

std::string encode(const model::Workload& workload);               // an istio.workload.Address
std::string encode(const model::Service& service);                 // an istio.workload.Address
std::string encode_as_workload(const model::Workload& workload);   // a bare istio.workload.Workload, for Envoy
std::optional<std::string> workload_of(std::string_view address);  // that, out of an encoded Address; none when it is no workload
std::string encode(const model::Policy& policy);

}  // namespace culvert::xds
