#pragma once
// The live part of discovery: gRPC calls on one side, Streams in the middle, the Snapshot on the other. No timers: a change is polled for by every
// stream at once; one that still waits for an acknowledgement gets it with the next. On the control thread.

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "common/rpc/server.h"
#include "common/telemetry/registry.h"
#include "controlplane/snapshot/snapshot.h"
#include "controlplane/xds/stream.h"

namespace culvert::controlplane {

class XdsService {
 public:
  // `forget` is told up to which epoch every stream knows what was removed.
  XdsService(const Snapshot& snapshot, telemetry::Registry& registry, std::function<void(Epoch)> forget);
  ~XdsService();  // ends all streams

  static constexpr std::size_t kMostStreams = 32;  // of one node: more are refused, so that one token cannot take them all

  // A delta discovery call of a caller that has proved to be `node`.
  void serve(rpc::CallRef call, std::string node);
  // The snapshot has a new epoch.
  void publish();
  // Ends the streams whose caller can no longer prove itself.
  void check(const std::function<bool(const rpc::ServerCall& call, const std::string& node)>& still_proved);

  // One line for each stream and type, for /debug/syncz.
  struct Row {
    std::string node;  // who the caller proved to be
    std::string id;    // what it calls itself
    std::string peer;
    Type type{};
    Stream::Progress progress;
    bool current = false;
  };
  std::vector<Row> rows() const;

 private:
  struct Session;
  using Sessions = std::list<std::unique_ptr<Session>>;

  void received(Session& session, const std::string& message);
  void pump(Session& session);
  void ended(Session& session);
  void forget_removals();

  const Snapshot& snapshot_;
  telemetry::Registry& registry_;
  telemetry::Gauge& connected_;
  std::function<void(Epoch)> forget_;
  Sessions sessions_;
};

}  // namespace culvert::controlplane
