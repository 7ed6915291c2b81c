#pragma once
// The messages of delta discovery as plain values, and their bytes (protocols.md §2.1). Both ends use it.

#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/xds/sums.h"
#include "common/xds/versions.h"

namespace culvert::xds {

inline constexpr std::string_view kAddressType = "type.googleapis.com/istio.workload.Address";
inline constexpr std::string_view kWorkloadType = "type.googleapis.com/istio.workload.Workload";
inline constexpr std::string_view kAuthorizationType = "type.googleapis.com/istio.security.Authorization";
inline constexpr std::string_view kAdsPath = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";

// Who asks. Sent with the first request of each type on a stream.
struct Node {
  std::string id{};  // "ztunnel~IP~POD.NAMESPACE~NAMESPACE.svc.cluster.local"
  std::map<std::string, std::string> metadata{};
  // Values that are JSON texts (ISTIO_METAJSON_x); what is not JSON is sent as text.
  std::map<std::string, std::string> json_metadata{};

  friend bool operator==(const Node&, const Node&) = default;
};

struct Resource {
  std::string name{};
  std::string version{};  // may be empty
  std::string type_url{};
  std::string value{};                 // the serialised message
  std::vector<std::string> aliases{};  // other names that were asked for and are answered by it

  friend bool operator==(const Resource&, const Resource&) = default;
};

// Client to server: a subscription, an acknowledgement, or (with error) a refusal.
struct Request {
  Node node{};  // empty id: not sent
  std::string type_url{};
  std::vector<std::string> subscribe{};
  std::vector<std::string> unsubscribe{};
  Versions initial_versions{};  // of what the client holds
  std::string nonce{};
  std::string error{};  // not empty: what was wrong, "name: reason; name: reason"
  bool knows_sums = false;
  std::string sums{};  // in place of `initial_versions`, with `knows_sums` (sums.h); empty: none

  friend bool operator==(const Request&, const Request&) = default;
};

// Server to client.
struct Response {
  std::string type_url{};
  std::string nonce{};
  std::vector<Resource> resources{};
  std::vector<std::string> removed{};
  bool knows_sums = false;  // said in the first response of a type
  Parts asked{};            // any, with `knows_sums`: it brings nothing, and asks for the versions of what is held in these

  friend bool operator==(const Response&, const Response&) = default;
};

std::string encode(const Request& request);
// Fails also when it asks for or says more than a client has reason to: a message may be megabytes of versions, not of anything else, since a name of three
// bytes costs us thirty times as much.
inline constexpr std::size_t kMostAsked = 1 << 20;  // bytes beside the versions
inline constexpr std::size_t kMostNode = 64 << 10;  // of these, of the node
Result<Request> decode_request(std::string bytes);
std::string encode(const Response& response);
Result<Response> decode_response(std::string_view bytes);

// For a server with many subscribers: a resource is serialised once, and a response is put together from such pieces.
// The name stands last in it.
std::string encode_resource(const Resource& resource);
Result<Resource> decode_resource(std::string_view encoded);
// The same resource as the answer to other names. The name stands last no more.
std::string with_aliases(std::string_view encoded_resource, std::span<const std::string> aliases);
std::size_t size_in_response(std::string_view encoded_resource);  // at most
void append_to_response(std::string& response, std::string_view encoded_resource);
std::string encode_response(std::string_view type_url, std::string_view nonce,
                            std::span<const std::shared_ptr<const std::string>> encoded_resources,
                            std::span<const std::string> removed);
// What such a response has beside, of whoever knows sums.
void append_sums_to_response(std::string& response, const Parts& asked);

}  // namespace culvert::xds
