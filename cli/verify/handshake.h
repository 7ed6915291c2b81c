#pragma once
// A handshake of mutual TLS with a pod's tunnel port, by port-forward. Internal to verify.

#include <chrono>
#include <string>

#include "common/base/identity.h"
#include "common/kube/client.h"
#include "common/kube/object.h"

namespace culvert::cli::verify {

// What the two sides showed each other.
struct Handshake {
  std::string cipher = {};
  std::string group = {};    // "X25519MLKEM768"
  std::string expires = {};  // of its certificate
};

// Shakes hands as a stranger: with a certificate of an authority that nobody trusts. Succeeds when the pod proves to be `expected` to who trusts
// `roots_pem`, and turns the stranger away: both halves of mutual TLS. Fails when either is not so.
net::Task<Result<Handshake>> shake_hands(kube::Client& client, kube::Key pod, Identity expected, std::string roots_pem,
                                         std::chrono::milliseconds patience);

}  // namespace culvert::cli::verify
