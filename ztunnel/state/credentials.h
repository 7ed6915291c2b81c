#pragma once
// What we show to, and expect of, the control plane and the certificate authority.

#include <string>
#include <utility>

#include "common/rpc/credentials.h"
#include "ztunnel/settings.h"

namespace culvert::ztunnel {

// The token's file is looked for at every call: it may come later than we do. Unless somebody named it, it need not come at all.
inline rpc::Credentials credentials_for(const Settings& settings, std::string roots, rpc::Metadata extra) {
  return {.token = settings.auth_token,
          .roots = std::move(roots),
          .cluster_id = settings.cluster_id,
          .extra = std::move(extra),
          .token_may_be_missing = settings.auth_token == Settings().auth_token};
}

}  // namespace culvert::ztunnel
