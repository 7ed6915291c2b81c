#pragma once
// The live connections of one pod on one worker: what /config_dump shows, what a changed configuration checks again, and what ends
// when the pod leaves. One thread: the worker's.

#include <cstddef>
#include <functional>
#include <optional>
#include <string>

#include "common/base/address.h"
#include "common/base/reason.h"
#include "common/model/admit.h"

namespace culvert::ztunnel {

// What is shown of a connection, and, for inbound ones, what it was admitted with.
struct Connection {
  enum class Way : std::uint8_t { kInbound, kOutbound };
  Way way = Way::kOutbound;
  bool tunnel = false;  // HBONE, else plain TCP
  Endpoint source;
  Endpoint actual;                  // where it went in the end
  std::string original;             // what was asked for; empty: nothing but `actual`
  std::optional<model::Peer> peer;  // inbound: who came; the destination that was admitted is `actual`
};

class LiveSet {
 public:
  // A member of the set for as long as it lives. `stop` is called at most once, and must not destroy the entry at once.
  class Entry {
   public:
    using Stop = std::function<void(Reason)>;
    Entry(LiveSet& set, Connection connection, Stop stop);
    ~Entry();
    Entry(const Entry&) = delete;

    const Connection& connection() const { return connection_; }
    void set(Connection connection) { connection_ = std::move(connection); }
    void on_stop(Stop stop);  // replaces the way to stop it; called at once when it was stopped before
    void stop(Reason reason);
    Reason stopped() const { return stopped_; }  // kNone: goes on

   private:
    friend class LiveSet;
    LiveSet* set_;
    Connection connection_;
    Stop stop_;
    Reason stopped_ = Reason::kNone;
    Entry* next_ = nullptr;
    Entry* previous_ = nullptr;
  };

  LiveSet() = default;
  ~LiveSet();
  LiveSet(const LiveSet&) = delete;

  std::size_t size() const { return size_; }
  void stop_all(Reason reason);
  void each(const std::function<void(Entry&)>& visit);  // `visit` may stop entries
  void each(const std::function<void(const Entry&)>& visit) const;
  // Called when the last entry goes.
  std::function<void()> on_empty;

 private:
  Entry* first_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace culvert::ztunnel
