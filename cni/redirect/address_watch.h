#pragma once
// Tells when the addresses of a pod's namespace change, and when somebody deletes rules or routes in it: one netlink socket per
// namespace, for the agent's own event loop.

#include <utility>
#include <vector>

#include "common/base/address.h"
#include "common/base/fd.h"
#include "common/base/result.h"

namespace culvert::redirect {

class AddressWatch {
 public:
  // Starts watching; open it before the first own_addresses(), so that no change is missed.
  static Result<AddressWatch> open(int netns);

  // Readable when something changed. Non-blocking.
  int fd() const { return socket_.get(); }

  // Reads what is there. True when addresses or interfaces may have changed since the last call, or a rule or route is gone: then ask
  // own_addresses() again, and prepare() again. What prepare() does itself is none of it. Messages lost to a full queue count as a change.
  Result<bool> changed();

 private:
  explicit AddressWatch(Fd socket) : socket_(std::move(socket)) {}
  Fd socket_;
};

}  // namespace culvert::redirect
