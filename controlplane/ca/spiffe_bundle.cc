#include "controlplane/ca/spiffe_bundle.h"

#include <boost/json.hpp>

#include "common/tls/jwk.h"

namespace culvert::controlplane {
namespace {

namespace json = boost::json;

constexpr int kRefreshSeconds = 300;  // a root is published long before it signs

}  // namespace

std::string spiffe_bundle(const std::string& roots_pem, std::uint64_t sequence) {
  json::array keys;
  const auto roots = tls::Certificate::parse_all(roots_pem, tls::kMaxRoots);
  for (const tls::Certificate& root : roots.value_or(std::vector<tls::Certificate>())) {
    const auto key = tls::jwk_of(root);
    if (!key) continue;
    json::object one{{"use", "x509-svid"}, {"kty", key->type}};
    if (key->type == "EC") {
      one["crv"] = key->curve;
      one["x"] = key->x;
      one["y"] = key->y;
    } else {
      one["n"] = key->n;
      one["e"] = key->e;
    }
    one["x5c"] = json::array{key->x5c};
    keys.push_back(std::move(one));
  }
  return json::serialize(
      json::object{{"keys", std::move(keys)}, {"spiffe_sequence", sequence}, {"spiffe_refresh_hint", kRefreshSeconds}});
}

}  // namespace culvert::controlplane
