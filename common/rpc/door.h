#pragma once
// The door of a server that anybody can reach: accepts connections on a thread of its own, lets in whom the Gate lets in, and hands them on as
// descriptors to a server that does the rest (gRPC, which has no bounds of this kind, and tells nobody of its connections).
//
// The door keeps a duplicate of each descriptor. By it it sees the end of the connection (whoever owns the other shuts it down before he closes it), sees
// how much has been received (TCP_INFO), and ends the connection of who has to go (shutdown(2)): for the server below that is a peer that has left, and of
// what he had sent nothing more is read.
// Until a connection is proved each of its segments wakes the door, afterwards one in a tenth of a second.

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/address.h"
#include "common/base/fd.h"
#include "common/base/result.h"
#include "common/rpc/gate.h"
#include "common/rpc/turnstile.h"

namespace culvert::rpc {

class Door {
 public:
  using Take = std::function<void(Fd)>;  // on the door's thread

  // Of descriptors there must be two for each connection: `limits.connections` is lowered, and that is logged, when the process may not have them.
  static Result<std::unique_ptr<Door>> open(Gate::Limits limits);
  ~Door();  // all connections are forgotten, not ended
  Door(const Door&) = delete;

  // Listens on one more address; port 0: the kernel chooses. Returns the port. Whoever comes waits until begin().
  Result<std::uint16_t> listen(const Endpoint& at, Take take);
  void begin();
  // Nobody comes in any more.
  void close();

  // Any thread.
  // The server has read a call of a connection: 0 says that it is the first, and becomes its number. False: it is one too many.
  bool read_call(Turnstile::Number& number);
  // One that read_call() has let pass is no more.
  void done_with(Turnstile::Number number);
  // A call has begun on the connection of `peer`; nothing: it is one too many, or its connection has gone. 0: a server that does not tell what it reads.
  std::optional<Gate::Ticket> begin_call(const Endpoint& peer, Turnstile::Number number);
  // These say which calls need not wait any more.
  std::vector<Gate::Call> prove(Gate::Ticket& ticket, const std::string& caller);
  std::vector<Gate::Call> end_call(const Gate::Ticket& ticket);
  void moved(const Gate::Ticket& ticket);

  struct Figures {
    std::size_t proved = 0, unproved = 0;  // connections now
    std::array<std::uint64_t, Gate::kReasons> turned_away{};
    std::uint64_t refused_calls = 0;
  };
  Figures figures() const;

 private:
  struct State;
  explicit Door(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace culvert::rpc
