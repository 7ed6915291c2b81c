#include "ztunnel/identity/identities.h"

#include <utility>

namespace culvert::ztunnel {
namespace {

Result<tls::Context> context_of(const Identity& identity, const Result<CredentialsRef>& value) {
  if (!value) return std::unexpected(value.error());
  auto context = tls::Context::mesh((*value)->own, (*value)->roots);
  if (!context) {
    return failure("using the certificate of " + identity.uri() + ": " + context.error().text, Reason::kIdentityError);
  }
  return context;
}

}  // namespace

void Identities::set(const Identity& identity, Value value) {
  known_.erase(identity);
  if (value) known_.emplace(identity, context_of(identity, *value));
  changed_.notify_all();
}

Result<tls::Context> Identities::now(const Identity& identity) const {
  const auto found = known_.find(identity);
  if (found != known_.end()) return found->second;
  return failure("no certificate for " + identity.uri() + " yet", Reason::kIdentityError);
}

net::Task<Result<tls::Context>> Identities::get(Identity identity, net::Clock::duration patience) {
  auto context = now(identity);
  if (context) co_return context;
  ask_(identity);
  const auto deadline = net::Clock::now() + patience;
  for (;;) {
    const auto left = deadline - net::Clock::now();
    if (left <= net::Clock::duration::zero()) co_return context;
    co_await changed_.wait_for(left);
    context = now(identity);
    if (context) co_return context;
  }
}

}  // namespace culvert::ztunnel
