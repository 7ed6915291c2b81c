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
  if (value) known_.emplace(identity, Known{context_of(identity, *value), ++answers_});
  changed_.notify_all();
}

Result<tls::Context> Identities::now(const Identity& identity) const {
  const auto found = known_.find(identity);
  if (found != known_.end()) return found->second.context;
  return failure("no certificate for " + identity.uri() + " yet", Reason::kIdentityError);
}

net::Task<Result<tls::Context>> Identities::get(Identity identity, net::Clock::duration patience) {
  const auto deadline = net::Clock::now() + patience;
  std::optional<std::uint64_t> asked_after;  // which answer
  for (;;) {
    auto context = now(identity);
    const auto left = deadline - net::Clock::now();
    if (context || left <= net::Clock::duration::zero()) co_return context;
    const auto found = known_.find(identity);
    const std::uint64_t answer = found == known_.end() ? 0 : found->second.answer;
    if (asked_after != answer) ask_(identity);  // again after each failure: the authority may be back
    asked_after = answer;
    co_await changed_.wait_for(left);
  }
}

}  // namespace culvert::ztunnel
