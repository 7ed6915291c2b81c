#pragma once
// /debug/epochs: which node has what of the configuration in force, and who lags why. Pure.
//
// An epoch is a version of everything that is served; it grows with every change, begins with 1 in each culvertd process, and is carried in the nonce
// of every response. A ztunnel answers when all of its workers have switched.

#include <chrono>
#include <optional>
#include <set>
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

  // Fails when the query cannot be understood. Of all ConfigMaps only `mesh_config` is of the mesh.
  static Result<EpochsAsked> of(const http::Request& request, const config::Key& mesh_config);
};

// Nodes of which no data plane is connected here.
struct Absent {
  using Nodes = std::set<std::string>;
  Nodes nodes = {};    // that should have one, or had one a moment ago
  Nodes awaited = {};  // of these, those whose data plane may be on its way: it left a moment ago, or we have just begun
  Nodes ready = {};    // of these, those whose data plane is known to serve, by what it got before

  // `expected` should have one, of which `ready` serve; `away` had one a moment ago, whether a pod of it runs now or not.
  static Absent of(Nodes expected, const Nodes& ready, const Nodes& away, const Nodes& connected, bool just_begun);
};

struct EpochsKnown {
  const Mesh& mesh;
  std::vector<XdsService::Client> clients;
  Absent absent;
  std::string instance;  // of this process: epochs of another one say nothing
  std::string unseen;    // why the object's last change may not be known here; empty: it is
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
