#pragma once
// The CA of a mesh on Kubernetes, in Secrets of its own namespace (protocols.md §4.5): `cacerts` is the user's own, an intermediate or a root;
// without it, `istio-ca-secret` is ours, made on first start. Whoever comes second takes what the first has made.

#include <string>
#include <string_view>

#include "common/kube/client.h"
#include "controlplane/ca/root.h"

namespace culvert::controlplane {

// Fails when the API server cannot be asked, and when a Secret that is there cannot be used: nothing is made in its place.
net::Task<Result<Ca>> load_or_make_ca(kube::Client& client, std::string ns, std::string trust_domain);

// The parts that are pure. Errors name the Secret's key.
Result<Ca> read_ca_secret(std::string_view object, const std::string& trust_domain);
std::string ca_secret(const tls::Authority& authority, std::string_view ns);

}  // namespace culvert::controlplane
