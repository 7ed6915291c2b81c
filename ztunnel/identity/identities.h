#pragma once
// The certificates of one worker: its own TLS context for each identity of a pod here. Filled by the control thread; whoever needs one
// that is not there asks for it, again after each failure, and waits. One thread: the worker's.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <unordered_map>

#include "common/base/identity.h"
#include "common/base/result.h"
#include "common/net/event.h"
#include "common/tls/session.h"
#include "ztunnel/identity/credentials.h"

namespace culvert::ztunnel {

class Identities {
 public:
  // Credentials, or why there are none. Nothing: the identity has no pod here any more.
  using Value = std::optional<Result<CredentialsRef>>;
  static constexpr std::chrono::milliseconds kPatience{5000};

  // `ask` is called for an identity that is wanted and not known.
  Identities(net::Loop& loop, std::function<void(const Identity&)> ask) : changed_(loop), ask_(std::move(ask)) {}

  void set(const Identity& identity, Value value);

  // Fails with kIdentityError; there is no way round a certificate.
  Result<tls::Context> now(const Identity& identity) const;
  net::Task<Result<tls::Context>> get(Identity identity, net::Clock::duration patience = kPatience);

 private:
  struct Known {
    Result<tls::Context> context;
    std::uint64_t answer;  // which of all that set() brought
  };
  std::unordered_map<Identity, Known> known_;
  std::uint64_t answers_ = 0;
  net::Event changed_;
  std::function<void(const Identity&)> ask_;
};

}  // namespace culvert::ztunnel
