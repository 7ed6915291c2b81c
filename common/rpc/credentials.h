#pragma once
// What a client of the control plane shows and trusts, read from the files that the platform keeps up to date. Files are read at every
// call or reconnect, so that a rotated token or root works without a restart.

#include <string>

#include "common/base/result.h"
#include "common/rpc/client.h"

namespace culvert::rpc {

struct Credentials {
  std::string token{};  // a file, whose name has a slash in it, or the token itself; empty: none. A trailing newline is cut off
  std::string roots{};  // a PEM file, PEM text, or SYSTEM
  std::string cluster_id{};     // the `clusterid` header, sent together with a token
  Metadata extra{};             // XDS_HEADER_x, CA_HEADER_x
  bool token_may_be_missing{};  // no such file: call without a token, the server then says what it wants

  // authorization, clusterid and the extra headers. Fails when the token's file cannot be read or is empty.
  Result<Metadata> metadata() const;
  // PEM text. Fails when a file is named that cannot be read, or there is no certificate in it.
  Result<std::string> roots_pem() const;
};

}  // namespace culvert::rpc
