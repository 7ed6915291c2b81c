#include "common/base/identity.h"

#include <array>

#include "common/base/format.h"

namespace culvert {

Result<Identity> Identity::parse(std::string_view uri) {
  const auto bad = [&] {
    return failure(culvert::format("\"{}\" is not spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT", uri));
  };
  constexpr std::string_view kScheme = "spiffe://";
  if (!uri.starts_with(kScheme)) return bad();
  std::string_view rest = uri.substr(kScheme.size());
  std::array<std::string_view, 5> parts;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const auto slash = rest.find('/');
    const bool last = i + 1 == parts.size();
    if (last != (slash == std::string_view::npos) || slash == 0 || rest.empty()) return bad();
    parts[i] = rest.substr(0, slash);
    if (!last) rest.remove_prefix(slash + 1);
  }
  if (parts[1] != "ns" || parts[3] != "sa") return bad();
  return Identity{std::string(parts[0]), std::string(parts[2]), std::string(parts[4])};
}

// Asked for at every connection: one allocation.
std::string Identity::uri() const {
  std::string out;
  out.reserve(24 + trust_domain.size() + name_space.size() + service_account.size());
  return out.append("spiffe://").append(trust_domain).append("/ns/").append(name_space).append("/sa/").append(service_account);
}

std::string Identity::principal() const {
  std::string out;
  out.reserve(8 + trust_domain.size() + name_space.size() + service_account.size());
  return out.append(trust_domain).append("/ns/").append(name_space).append("/sa/").append(service_account);
}

}  // namespace culvert
