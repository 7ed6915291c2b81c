#pragma once
// What the authority gave us for one identity. Immutable, shared between threads.

#include <memory>

#include "common/tls/certificate.h"

namespace culvert::ztunnel {

struct Credentials {
  tls::KeyPair own;
  tls::Roots roots;
};
using CredentialsRef = std::shared_ptr<const Credentials>;

}  // namespace culvert::ztunnel
