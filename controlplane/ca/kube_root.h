#pragma once
// The CA of a mesh on Kubernetes, in Secrets of its own namespace (protocols.md §4.5): `cacerts` is the user's own, an intermediate or a root;
// without it, `istio-ca-secret` is ours, made on first start. Whoever comes second takes what the first has made.

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "common/kube/client.h"
#include "controlplane/ca/root.h"

namespace culvert::controlplane {

inline constexpr std::string_view kUsersOwnSecret = "cacerts";
inline constexpr std::string_view kOurSecret = "istio-ca-secret";

// Fails when the API server cannot be asked, and when a Secret that is there cannot be used: nothing is made in its place.
net::Task<Result<Ca>> load_or_make_ca(kube::Client& client, std::string ns, std::string trust_domain,
                                      std::chrono::seconds root_lifetime = RotationPolicy().root_lifetime, Of of = Of::kThis);
// The same, but makes nothing: none when there is neither.
net::Task<Result<std::optional<Ca>>> find_ca(kube::Client& client, std::string ns, std::string trust_domain);

// Goes one step on in replacing the root in `istio-ca-secret`, if culvertd has made it and it is time. True when something was written; fails when it was
// about to be, and `still` says no: a leader alone may.
net::Task<Result<bool>> rotate_root(kube::Client& client, std::string ns, std::string trust_domain, RotationPolicy policy,
                                    std::function<bool()> still = {});

// The parts that are pure. Errors name the Secret's key.
Result<Ca> read_ca_secret(std::string_view object, const std::string& trust_domain);
std::string ca_secret(const tls::Authority& authority, std::string_view ns);

}  // namespace culvert::controlplane
