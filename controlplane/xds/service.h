#pragma once
// The live part of discovery: gRPC calls on one side, Streams in the middle, the Snapshot on the other. A change is polled for by every stream at once, in
// a round; one that still waits for an acknowledgement gets it with the next. Rounds follow each other as they come, until they cost a core (pace.h). On
// the control thread.

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/net/timer.h"
#include "common/rpc/server.h"
#include "common/telemetry/registry.h"
#include "common/xds/wire.h"
#include "controlplane/ca/limits.h"
#include "controlplane/snapshot/snapshot.h"
#include "controlplane/xds/pace.h"
#include "controlplane/xds/spread.h"
#include "controlplane/xds/stream.h"

namespace culvert::controlplane {

class XdsService {
 public:
  // `forget` is told up to which epoch every stream knows what was removed.
  XdsService(net::Loop& loop, const Snapshot& snapshot, telemetry::Registry& registry, std::function<void(Epoch)> forget);
  ~XdsService();  // ends all streams

  static constexpr std::size_t kMostBeginning =
      16;  // streams whose first requests are read at one time: these say all that a node holds, and a thousand
           // nodes may come at once. The others wait for their turn
  static constexpr std::chrono::seconds kTurn{2};  // for which one may keep others waiting
  static constexpr std::size_t kMostStreams = 32;  // of one node: more are refused, so that one token cannot take them all

  // What all streams of one node may make us remember: names that it asks for one by one, of which a node that does so has as many as there are workloads
  // at most, in two streams while it connects again.
  static constexpr std::size_t kMostKept = 96 << 20;
  static constexpr std::size_t kMostLogged = 300;  // bytes of a text that a node makes us log

  // A delta discovery call of a caller that has proved to be `node`.
  void serve(rpc::CallRef call, std::string node);
  // The snapshot has a new epoch.
  void publish();
  // Ends the streams whose caller can no longer prove itself.
  void check(const std::function<bool(const rpc::ServerCall& call, const std::string& node)>& still_proved);

  // How one stream stands, for the debug pages.
  struct Client {
    struct Channel {
      Type type{};
      Stream::Progress progress;
      std::string nonce_sent, nonce_acked;  // empty: none yet
      std::chrono::system_clock::time_point sent_at{};
      std::string nacked;  // what it said when it refused something last, mended since or not; empty: it never has
      std::chrono::system_clock::time_point nacked_at{};
    };
    std::string node;        // who the caller proved to be
    std::string connection;  // its name among the streams that this culvertd has had: "ID-7"
    std::string peer;
    xds::Node self;  // what it says of itself
    std::chrono::system_clock::time_point since{};
    std::vector<Channel> channels;  // what it asked for
    bool current = false;           // nothing is under way and nothing is pending
  };
  std::vector<Client> clients() const;
  // When a node's last stream ended, of the nodes that have none; forgotten after kAway.
  std::map<std::string, net::Clock::time_point> away() const;
  static constexpr std::chrono::seconds kAway{20};  // within which a ztunnel comes back: its longest pause is 15 s, more or less

 private:
  struct Session;
  using Sessions = std::list<std::unique_ptr<Session>>;

  void let_in();
  void received(Session& session, std::string message);
  void refuse(Session& session, std::string_view why, std::string text);
  void said(Session& session, const Stream::Heard& heard);
  void round();
  void pump(Session& session);
  void sent(Session& session);
  bool keeps_too_much(Session& session);
  void note_current(Session& session);
  void ended(Session& session);
  void note_left(const std::string& node);
  void forget_removals();

  struct Counters {  // of one type
    telemetry::Counter& pushes;
    telemetry::Counter& resources;
  };
  static Counters counters(telemetry::Registry& registry, Type type);

  const Snapshot& snapshot_;
  telemetry::Registry& registry_;
  telemetry::Gauge& connected_;
  const Counters addresses_, policies_;
  telemetry::Counter& expired_;
  telemetry::Counter& unreadable_;
  Spread converged_;
  Spread pushed_;
  Spread sizes_;
  std::function<void(Epoch)> forget_;
  Pace pace_;
  net::Timer next_round_;
  bool round_waits_ = false;  // there is something to push, and its time is not yet
  net::Timer turn_;
  Quiet quiet_;
  Sessions sessions_;
  std::uint64_t count_ = 0;                             // of sessions, ever
  std::map<std::string, net::Clock::time_point> left_;  // nodes, when a stream of theirs ended last
};

}  // namespace culvert::controlplane
