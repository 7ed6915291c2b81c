#pragma once
// The client of a control plane's ADS stream: keeps one open, and turns what arrives into Updates (protocols.md §2.1, §2.2).
// Everything on one Loop.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "common/net/loop.h"
#include "common/rpc/credentials.h"
#include "common/xds/update.h"
#include "common/xds/wire.h"

namespace culvert::xds {

struct AdsOptions {
  std::string address{};           // "host:port" or "https://host:port"
  std::string name{};              // ALT_XDS_HOSTNAME
  rpc::Credentials credentials{};  // read anew for each stream
  Node node{};
};

// Counters of the client's life, for /metrics (istio_xds_*).
struct AdsCounters {
  std::map<std::string, std::uint64_t> messages{};       // by type URL
  std::map<std::string, std::uint64_t> message_bytes{};  // by type URL
  std::uint64_t connection_errors = 0;                   // no connection came about
  std::uint64_t errors = 0;                              // a stream ended with an error
  std::uint64_t reconnects = 0;                          // a stream ended as streams do: age limit, restart
  std::uint64_t completes = 0;                           // the server ended it with OK
  std::uint64_t refused_resources = 0;
};

class AdsClient {
 public:
  // Called once the update is in force everywhere; sends the acknowledgement. Call it on the loop, or not at all.
  using Acknowledge = std::move_only_function<void()>;
  using OnUpdate = std::function<void(Update, Acknowledge)>;

  // Connects at once, and again whenever the stream ends: after 10 ms, doubling to 15 s; from 10 ms again after a stream that worked.
  AdsClient(net::Loop& loop, AdsOptions options, OnUpdate on_update);
  ~AdsClient();

  bool ready() const;           // each type has been answered once
  bool connected() const;       // the present stream has been answered
  std::string problem() const;  // why there is no stream; empty while there is one
  AdsCounters counters() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace culvert::xds
