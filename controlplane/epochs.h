#pragma once
// /debug/epochs: which node has what of the configuration in force, and who lags why. Pure.
//
// An epoch is a version of everything that is served; it grows with every change, begins with 1 in each culvertd process, and is carried in the nonce
// of every response. A ztunnel answers when all of its workers have switched.

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/http/message.h"
#include "controlplane/mesh.h"
#include "controlplane/xds/service.h"

namespace culvert::controlplane {

// What is asked: ?object=KIND/NAMESPACE/NAME (KIND/NAME where there is no namespace), ?epoch=N, or nothing: the epoch of now.
struct EpochsAsked {
  std::optional<config::Key> object = {};
  std::optional<Epoch> epoch = {};

  // Fails when the query cannot be understood.
  static Result<EpochsAsked> of(const http::Request& request);
};

struct EpochsKnown {
  const Mesh& mesh;
  std::vector<XdsService::Client> clients;
  std::vector<std::string> absent;   // nodes that should have a data plane and have none here
  std::vector<std::string> awaited;  // of these, those that may be on their way: gone or begun a moment ago
  std::string instance;              // of this process: epochs of another one say nothing
  std::string unseen;                // why the object's last change may not be known here; empty: it is
};

// What one data plane lacks of an epoch.
struct Standing {
  bool has = false;
  bool refused = false;  // it will not come by waiting
  std::string why;       // empty when it has it
};
// Has everything up to `epoch`.
Standing has_all(const XdsService::Client& client, Epoch epoch);
// Has what changed in `epoch`.
Standing has_change(const XdsService::Client& client, Epoch epoch);

std::string epochs_json(const EpochsKnown& known, const EpochsAsked& asked);

}  // namespace culvert::controlplane
