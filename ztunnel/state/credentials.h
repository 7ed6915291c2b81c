#pragma once
// What we show to, and expect of, the control plane and the certificate authority.

#include <filesystem>
#include <string>
#include <utility>

#include "common/rpc/credentials.h"
#include "ztunnel/settings.h"

namespace culvert::ztunnel {

// A token file that does not exist is left out: on a bare machine there may be none, and the server then says what it wants.
inline rpc::Credentials credentials_for(const Settings& settings, std::string roots, rpc::Metadata extra) {
  std::error_code ignored;
  const bool token = !settings.auth_token.empty() && std::filesystem::exists(settings.auth_token, ignored);
  return {.token_file = token ? settings.auth_token : std::string(),
          .roots = std::move(roots),
          .cluster_id = settings.cluster_id,
          .extra = std::move(extra)};
}

}  // namespace culvert::ztunnel
