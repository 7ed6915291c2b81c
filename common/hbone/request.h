#pragma once
// What a CONNECT of HBONE says (protocols.md §1.4): authority, baggage, forwarded, traceparent. Pure text in and out.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "common/base/address.h"
#include "common/base/result.h"
#include "common/http/hpack.h"

namespace culvert::hbone {

// The target of a CONNECT: "10.0.0.1:80", "[fd00::1]:80" or "host.name:80".
struct Authority {
  IpAddress ip = {};      // none when a host is named
  std::string host = {};  // empty when it is an address
  std::uint16_t port = 0;

  static Result<Authority> parse(std::string_view text);  // fails with kBadRequest
  static Authority of(const Endpoint& endpoint) { return {endpoint.address, "", endpoint.port}; }
  bool is_ip() const { return !ip.is_none(); }
  std::string text() const;

  friend bool operator==(const Authority&, const Authority&) = default;
};

// Description of a workload that travels in the `baggage` header. Empty members are left out.
struct Baggage {
  std::string cluster = {};        // k8s.cluster.name
  std::string name_space = {};     // k8s.namespace.name
  std::string workload_type = {};  // deployment, cronjob, pod, job: the key is k8s.<type>.name
  std::string workload_name = {};
  std::string service = {};   // service.name: canonical name
  std::string revision = {};  // service.version
  std::string region = {};    // cloud.region
  std::string zone = {};      // cloud.availability_zone

  std::string text() const;                     // in Istio's order
  static Baggage parse(std::string_view text);  // never fails: unknown keys are ignored, the last one wins

  friend bool operator==(const Baggage&, const Baggage&) = default;
};

// The `forwarded` header: for="ip:port";host=name
struct Forwarded {
  std::optional<Endpoint> source = {};
  std::string host = {};

  std::string text() const;
  static Forwarded parse(std::string_view text);  // never fails: what cannot be read is absent

  friend bool operator==(const Forwarded&, const Forwarded&) = default;
};

struct ConnectRequest {
  Authority authority = {};
  Baggage baggage = {};
  Forwarded forwarded = {};
  std::string traceparent = {};        // W3C; empty when absent or malformed
  std::string forwarded_network = {};  // x-forwarded-network

  http::HeaderList headers() const;
  // Fails with kBadRequest: not a CONNECT, no authority, or one that cannot be read. The caller answers 400.
  static Result<ConnectRequest> parse(std::span<const http::HeaderField> headers);
};

struct ConnectResponse {
  int status = 0;
  Baggage baggage = {};

  http::HeaderList headers() const;
  static Result<ConnectResponse> parse(std::span<const http::HeaderField> headers);  // fails with kHttp2Failure
};

// A new random trace: 00-<32 hex>-<16 hex>-00.
std::string make_traceparent();

}  // namespace culvert::hbone
