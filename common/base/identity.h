#pragma once
// Who a workload is: a SPIFFE identity of the form spiffe://<trust domain>/ns/<namespace>/sa/<service account>.

#include <compare>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace culvert {

struct Identity {
  std::string trust_domain;
  std::string name_space;
  std::string service_account;

  // Exactly "spiffe://TD/ns/NS/sa/SA", no part empty.
  static Result<Identity> parse(std::string_view uri);
  std::string uri() const;        // "spiffe://td/ns/x/sa/y"
  std::string principal() const;  // "td/ns/x/sa/y", as policies write it

  friend auto operator<=>(const Identity&, const Identity&) = default;
};

}  // namespace culvert

template <>
struct std::hash<culvert::Identity> {
  std::size_t operator()(const culvert::Identity& identity) const noexcept {
    const std::hash<std::string_view> text;
    return (text(identity.trust_domain) * 31 + text(identity.name_space)) * 31 + text(identity.service_account);
  }
};
