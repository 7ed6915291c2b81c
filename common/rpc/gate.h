#pragma once
// Who may be connected to a server that anybody can reach, and what he may do until he has proved who he is. Counts and decides; no socket, no clock, no
// lock: door.h is its life.
//
// A connection is unproved until the first call on it has been proved. Unproved ones have few places, and when those are taken the oldest of the address
// that has most of them makes room for the newcomer: whoever can prove himself does so in milliseconds, and nobody can keep others out by holding still.
// Unproved ones never take the place of proved ones.

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/base/address.h"

namespace culvert::rpc {

class Gate {
 public:
  using Id = std::uint64_t;  // of a connection; never used again
  using Time = std::chrono::steady_clock::time_point;

  struct Limits {
    std::size_t connections = 10'000;
    std::size_t of_address = 4'000;  // a whole cluster may be behind one
    std::size_t of_caller = 100;     // that have proved to be one and the same; a ztunnel has two
    // Streams of a connection at one time. Calls twice as many: its peer forgets them before the handler does.
    std::size_t calls = 100;
    // That may come on a connection without a call or a message of it: more than the largest message.
    std::size_t bytes = 20 << 20;
    std::chrono::milliseconds proof{30'000};  // the time in which a connection has to be proved
    std::size_t unproved = 1'000;             // connections
    std::size_t unproved_of_address = 250;
    // That a connection may send: a handshake and tokens are some ten thousand, and messages may come 64 KiB ahead.
    std::size_t unproved_bytes = 256 << 10;
    // Of a connection that are looked at at one time; a ztunnel begins with nine. Others wait for the first proof: who has a hundred things to ask may ask.
    std::size_t unproved_calls = 16;
    std::size_t unproved_calls_of_address = 256;  // that are looked at
    std::size_t tries = 64;  // unproved calls of a connection in all; of one that is proved, calls that were too many
    // Of all connections, beyond the first of each, those included that wait: who can prove himself does so with one.
    std::size_t unproved_calls_of_all = 1'000;
  };

  enum class Reason : std::uint8_t {
    kFull,     // there are too many proved connections
    kAddress,  // there are too many proved ones of this address
    kCrowded,  // made room for another that has to prove itself yet
    kSilent,   // not proved in time
    kBytes,    // sent too much before it was proved, or what is nothing
    kTries,    // too many calls without a proof, or that had to be refused
    kCaller,   // there are too many of this caller
    kBroken,   // what it sent is no HTTP/2, or past a bound of HTTP/2: resets, settings, pings, continuations
  };
  static constexpr std::size_t kReasons = 8;
  static std::string_view text(Reason reason);  // as a metric's label: "crowded"

  explicit Gate(const Limits& limits) : limits_(limits) {}
  const Limits& limits() const { return limits_; }

  struct Arrival {
    std::optional<Id> id;   // the newcomer's, if he may come in
    std::optional<Id> out;  // who has to go for it
  };
  Arrival arrive(const Endpoint& peer, Time now);
  // It has ended. Of one that had to go already: nothing.
  void leave(Id id);
  // Those that had to be proved by now: they go.
  std::vector<Id> silent(Time now);
  // It has sent so much, in all. True: it goes.
  bool sent(Id id, std::size_t bytes);

  using Call = std::uint64_t;
  // A call that has begun. Counted until end_call().
  struct Ticket {
    Id id = 0;
    IpAddress address;
    Call call = 0;
    bool unproved = false;
    bool waits = false;  // until it is named in a Turn
  };
  // What has changed for others.
  struct Turn {
    std::optional<Id> out;      // a connection that goes
    std::vector<Call> go_on{};  // calls that have waited, oldest first
  };
  struct Refused {
    std::optional<Id> out;  // its connection goes
  };
  std::expected<Ticket, Refused> begin_call(Id id);
  // The call has proved to be `caller`'s, and its connection with it. Somebody may have to go: of this caller the oldest.
  Turn prove(Ticket& ticket, const std::string& caller);
  // A message of it has come.
  void moved(const Ticket& ticket);
  Turn end_call(const Ticket& ticket);
  // What one sent broke HTTP/2: it ends by itself, and counts until then.
  void count_broken() { count(Reason::kBroken); }
  // A call was one too many for somebody else.
  void count_refused() { ++refused_calls_; }

  std::optional<Endpoint> peer(Id id) const;
  std::size_t size() const { return connections_.size(); }
  std::size_t unproved() const { return unproved_.size(); }
  std::size_t unproved_calls() const { return unproved_calls_; }
  std::uint64_t turned_away(Reason reason) const { return turned_away_[static_cast<std::size_t>(reason)]; }
  std::uint64_t refused_calls() const { return refused_calls_; }

 private:
  struct Connection {
    Endpoint peer;
    Time since;
    std::string caller{};  // empty: unproved
    std::size_t calls = 0;
    std::set<Call> waiting{};
    std::size_t tries = 0;
    bool moved = false;       // a call or a message has come
    std::size_t counted = 0;  // bytes, up to the last that did
  };
  struct Address {
    std::size_t connections = 0;
    std::set<Id> unproved{};
    std::size_t calls = 0;  // unproved
  };

  std::optional<Id> whose_place(const IpAddress& address) const;
  void turn_away(Id id, Reason reason);
  bool tried(Id id, Connection& connection);
  void uncount(const Ticket& ticket);
  void count(Reason reason) { ++turned_away_[static_cast<std::size_t>(reason)]; }
  void forget(const IpAddress& address);

  const Limits limits_;
  Id last_ = 0;
  Call last_call_ = 0;
  std::map<Id, Connection> connections_;
  std::set<Id> unproved_;  // oldest first
  std::unordered_map<IpAddress, Address> addresses_;
  std::map<std::string, std::set<Id>> callers_;
  std::set<Call> given_;  // unproved calls that have waited, and been given a turn
  std::array<std::uint64_t, kReasons> turned_away_{};
  std::uint64_t refused_calls_ = 0;
  std::size_t unproved_calls_ = 0;  // of connections that live
};

}  // namespace culvert::rpc
