#pragma once
// Inside of Context. Of this folder.

#include <optional>
#include <string>
#include <vector>

#include "common/tls/openssl.h"
#include "common/tls/session.h"

namespace culvert::tls {

using CtxPtr = Owned<SSL_CTX, SSL_CTX_free>;

struct Context::Core {
  CtxPtr client;  // either may be missing
  CtxPtr server;
  std::string alpn;                  // wire form: length and name, one after the other
  std::optional<Identity> identity;  // ours
  bool mesh = false;
};

}  // namespace culvert::tls
