#pragma once
// The door of a server that anybody can reach: the Gate for all threads that have connections, and the log of who was turned away. Any thread.

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/base/address.h"
#include "common/base/mutex.h"
#include "common/rpc/gate.h"

namespace culvert::rpc {

class Door {
 public:
  // `limits.connections` is lowered, and that is logged, when the process may not have as many descriptors.
  explicit Door(const Gate::Limits& limits);

  // Ends a connection, soon: it may be on another thread.
  using Cut = std::function<void(Gate::Id id)>;
  struct Arrival {
    std::optional<Gate::Id> id;  // the newcomer's, if he may come in
    bool crowded = false;        // somebody else had to go for it
  };
  // `cut` must outlive the connection.
  Arrival arrive(const Endpoint& peer, const Cut& cut);
  void leave(Gate::Id id);
  void count_broken();  // one that ends by itself

  // These may turn connections away, their own included: false, or nothing, when that is so.
  bool sent(Gate::Id id, std::size_t bytes);
  std::optional<Gate::Ticket> begin_call(Gate::Id id);
  bool knows(Gate::Id id) const;
  // These say which calls of their connection need not wait any more.
  std::vector<Gate::Call> prove(Gate::Ticket& ticket, const std::string& caller);
  std::vector<Gate::Call> end_call(const Gate::Ticket& ticket);
  void moved(const Gate::Ticket& ticket);
  void count_refused();

  // Nobody is cut any more.
  void close();

  // Now and then: those that had to be proved by now go, and what was refused is said.
  void look();
  // Of this machine, which has no descriptors left: now and then.
  void complain(const std::string& what);

  struct Figures {
    std::size_t proved = 0, unproved = 0;  // connections now
    std::array<std::uint64_t, Gate::kReasons> turned_away{};
    std::uint64_t refused_calls = 0;
  };
  Figures figures() const;

 private:
  void cut(std::optional<Gate::Id> id) CULVERT_REQUIRES(mutex_);

  mutable Mutex mutex_;  // held for as long as a decision takes
  Gate gate_ CULVERT_GUARDED_BY(mutex_);
  std::unordered_map<Gate::Id, const Cut*> cuts_ CULVERT_GUARDED_BY(mutex_);
  std::uint64_t said_ CULVERT_GUARDED_BY(mutex_) = 0;  // refusals that have been logged
  Gate::Time quiet_until_ CULVERT_GUARDED_BY(mutex_){};
  Gate::Time no_complaint_until_ CULVERT_GUARDED_BY(mutex_){};
};

}  // namespace culvert::rpc
