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
  std::string baggage = {};  // describes the sender's workload; as it came (model/baggage.h reads it)
  Forwarded forwarded = {};
  std::string traceparent = {};        // W3C; empty when absent or malformed
  std::string forwarded_network = {};  // x-forwarded-network

  http::HeaderList headers() const;
  std::size_t held() const;  // bytes of memory
  // What is longer than any of our kind says is left out: it would wait here with the request.
  // Fails with kBadRequest: not a CONNECT, no authority, or one that cannot be read. The caller answers 400.
  static Result<ConnectRequest> parse(std::span<const http::HeaderField> headers);
};

struct ConnectResponse {
  int status = 0;
  std::string baggage = {};  // describes the answering workload

  http::HeaderList headers() const;
  static Result<ConnectResponse> parse(std::span<const http::HeaderField> headers);  // fails with kHttp2Failure
};

// A new random trace: 00-<32 hex>-<16 hex>-00.
std::string make_traceparent();

}  // namespace culvert::hbone
