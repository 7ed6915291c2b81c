#pragma once
// How many calls of each connection gRPC holds, counted where it reads them: one that is refused here costs it a few KB until it has read on, one that passes
// tens of KB until all of its threads have had their turn with it, and a peer writes one in fifteen bytes. Counts and decides, as Gate; door.h is its life.
//
// Here a connection has a number, and nobody knows yet whose it is: the first call that begun() is told of says that.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>

#include "common/rpc/gate.h"

namespace culvert::rpc {

class Turnstile {
 public:
  using Number = std::uint64_t;  // of a connection; never used again

  explicit Turnstile(const Gate::Limits& limits) : limits_(limits) {}

  Number open(Gate::Time now) { return connections_.try_emplace(++last_, Connection{.since = now}).first->first; }
  enum class Verdict : std::uint8_t { kPass, kRefuse, kEnd };
  // A call has been read. kEnd: it is refused, and so is all of its connection's from now on; said once, of a connection that is known.
  Verdict read(Number number);
  // One that passed has begun, on this connection; none: that has gone. True: the connection is to end, as by kEnd.
  bool begun(Number number, std::optional<Gate::Id> id);
  std::optional<Gate::Id> whose(Number number) const;
  // One that passed is no more.
  void done(Number number);
  void prove(Gate::Id id);
  void leave(Gate::Id id, Gate::Time now);
  // Forgets who left long ago, and who never became known: gRPC may lose a call that passed, when it is cancelled on another thread in that moment.
  void sweep(Gate::Time now);

  std::size_t connections() const { return connections_.size(); }
  std::size_t unproved() const { return unproved_; }  // calls

 private:
  struct Connection {
    Gate::Time since;  // when it came, or has gone
    std::optional<Gate::Id> id{};
    bool proved = false;
    bool gone = false;
    std::size_t calls = 0;
    std::size_t refused = 0;
  };
  std::size_t most_refused() const { return limits_.calls + limits_.tries; }
  static constexpr std::chrono::minutes kLong{1};
  using Connections = std::map<Number, Connection>;
  Connection* known(Gate::Id id);
  void forget(Number number);
  Connections::iterator erase(Connections::iterator at);

  const Gate::Limits limits_;
  Number last_ = 0;
  Connections connections_;
  std::map<Gate::Id, Number> numbers_;
  std::size_t unproved_ = 0;
};

}  // namespace culvert::rpc
