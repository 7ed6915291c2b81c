#pragma once
// Host names to addresses.

#include <chrono>
#include <string>
#include <vector>

#include "common/base/address.h"
#include "common/base/result.h"
#include "common/net/loop.h"

namespace culvert::net {

// As the system's resolver answers, in its order; at least one. It blocks, so it gets a thread of its own, which outlives a caller that
// gives up. An address is its own answer, at once. Not for the data path. Errors read "resolving NAME: ...", with kConnectFailed.
Task<Result<std::vector<IpAddress>>> resolve(Loop& loop, std::string host, std::chrono::milliseconds timeout);

}  // namespace culvert::net
