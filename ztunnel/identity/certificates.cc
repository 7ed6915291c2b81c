#include "ztunnel/identity/certificates.h"

#include <algorithm>
#include <random>
#include <utility>

#include "common/base/log.h"

namespace culvert::ztunnel {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kScope = "identity";
constexpr auto kHurriedPause = 500ms;  // a waiting connection shortens the pause after a failure, but never below this
constexpr auto kLongestSleep = 5s;     // the clock that certificates go by may be set

std::uint64_t random_bits() {
  static std::mt19937_64 engine(std::random_device{}());
  return engine();
}

bool expired(const CredentialsRef& credentials, Clock::time_point now) {
  return credentials && credentials->own.leaf().not_after() <= now;
}

Clock::time_point begin_of(const CredentialsRef& credentials) { return credentials->own.leaf().not_before(); }

}  // namespace

Certificates::Certificates(net::Loop& loop, Fetch fetch, Publish publish)
    : loop_(loop), fetch_(std::move(fetch)), publish_(std::move(publish)), changed_(loop) {
  loop_.spawn(schedule());
}

void Certificates::set_wanted(const std::set<Identity>& identities) {
  bool changed = false;
  std::erase_if(entries_, [&](const auto& held) {
    if (identities.contains(held.first)) return false;
    held.second->dropped = true;
    publish_(held.first, std::nullopt);
    return true;
  });
  for (const Identity& identity : identities) {
    if (entries_.contains(identity)) continue;
    auto entry = std::make_shared<Entry>();
    entry->identity = identity;
    entries_.emplace(identity, std::move(entry));
    changed = true;
  }
  if (changed) changed_.notify_all();
}

void Certificates::hurry(const Identity& identity) {
  const auto found = entries_.find(identity);
  if (found == entries_.end()) return;
  Entry& entry = *found->second;
  if (entry.credentials && !expired(entry.credentials, Clock::now())) return;
  entry.priority = Priority::kHurried;
  const auto now = Clock::now();
  entry.due = std::min(entry.due, entry.fetched > now ? now : std::max(entry.fetched + kHurriedPause, now));
  changed_.notify_all();
}

bool Certificates::tried(const Identity& identity) const {
  const auto found = entries_.find(identity);
  return found != entries_.end() && (found->second->credentials || found->second->failures != 0);
}

void Certificates::renew_all() {
  for (const auto& [identity, entry] : entries_) {
    entry->again = entry->under_way;
    entry->due = std::min(entry->due, Clock::now());
  }
  changed_.notify_all();
}

Certificates::EntryRef Certificates::next_due(Clock::time_point now) const {
  EntryRef best;
  for (const auto& [identity, entry] : entries_) {
    const bool set_back = entry->fetched > now + kHurriedPause;  // the clock was ahead when this was due later
    if (entry->under_way || (entry->due > now && !set_back)) continue;
    if (!best || std::pair(entry->priority, entry->due) < std::pair(best->priority, best->due)) best = entry;
  }
  return best;
}

std::optional<Clock::time_point> Certificates::next_deadline() const {
  std::optional<Clock::time_point> first;
  for (const auto& [identity, entry] : entries_) {
    if (!entry->under_way && (!first || entry->due < *first)) first = entry->due;
    if (entry->credentials && (!first || entry->credentials->own.leaf().not_after() < *first))
      first = entry->credentials->own.leaf().not_after();
    if (entry->coming && (!first || begin_of(entry->coming) < *first)) first = begin_of(entry->coming);
  }
  return first;
}

net::Task<> Certificates::schedule() {
  for (;;) {
    const auto now = Clock::now();
    for (const auto& [identity, entry] : entries_) {
      if (entry->coming && begin_of(entry->coming) <= now) use(*entry, std::move(entry->coming), now);
      if (expired(entry->credentials, now)) expire(*entry);
    }
    while (under_way_ < kAtOnce) {
      const auto entry = next_due(now);
      if (!entry) break;
      entry->under_way = true;
      entry->fetched = now;
      ++under_way_;
      loop_.spawn(fetch(entry));
    }
    const auto deadline = next_deadline();
    if (!deadline || under_way_ >= kAtOnce) {
      co_await changed_.wait();
    } else {
      co_await changed_.wait_for(std::clamp<Clock::duration>(*deadline - Clock::now(), 1ms, kLongestSleep));
    }
  }
}

net::Task<> Certificates::fetch(EntryRef entry) {
  auto fetched = co_await fetch_(entry->identity);
  entry->under_way = false;
  --under_way_;
  if (!entry->dropped) accept(*entry, std::move(fetched));
  changed_.notify_all();
}

void Certificates::accept(Entry& entry, Result<CredentialsRef> fetched) {
  const auto now = Clock::now();
  entry.priority = Priority::kRenewal;
  if (fetched && expired(*fetched, now))
    fetched = failure("the certificate that was issued has expired already", Reason::kIdentityError);
  if (!fetched) {
    entry.error = fetched.error().text;
    entry.due = now + retry_pause(++entry.failures, random_bits());
    log::warn(kScope, "fetching the certificate of " + entry.identity.uri() + ": " + entry.error,
              {log::field("attempt", entry.failures)});
    if (!entry.credentials)
      publish_(entry.identity,
               failure("no certificate for " + entry.identity.uri() + ": " + entry.error, Reason::kIdentityError));
    return;
  }
  entry.error.clear();
  const bool begun = begin_of(*fetched) <= now;
  if (!begun)
    log::warn(kScope,
              "the certificate of " + entry.identity.uri() + " has not begun yet: set the clock of this machine, or of who signs",
              {log::field("begins", (*fetched)->own.leaf().valid_from())});
  if (begun || !entry.credentials || expired(entry.credentials, now)) return use(entry, std::move(*fetched), now);
  if (!entry.coming || begin_of(*fetched) < begin_of(entry.coming)) entry.coming = std::move(*fetched);
  retry_later(entry, now);
  if (std::exchange(entry.again, false)) entry.due = now;
}

void Certificates::use(Entry& entry, CredentialsRef credentials, Clock::time_point now) {
  entry.credentials = std::move(credentials);
  entry.coming.reset();
  const auto& leaf = entry.credentials->own.leaf();
  const auto due = renew_at(leaf.not_before(), leaf.not_after());
  if (leaf.not_before() <= now && due > now) {
    entry.failures = 0;
    entry.due = due;
  } else {  // a clock is wrong, or the authority near its own end
    retry_later(entry, now);
  }
  log::info(kScope, "certificate for " + entry.identity.uri(),
            {log::field("serial", leaf.serial()), log::field("expires", leaf.expires_at())});
  if (std::exchange(entry.again, false)) entry.due = now;
  publish_(entry.identity, Result<CredentialsRef>(entry.credentials));
}

// What there is is used, and asked for again ever more slowly while it lasts.
void Certificates::retry_later(Entry& entry, Clock::time_point now) {
  const auto pause = retry_pause(++entry.failures, random_bits());
  entry.due = now + std::min<Clock::duration>(
                        pause, std::max<Clock::duration>((entry.credentials->own.leaf().not_after() - now) / 2, 1s));
}

void Certificates::expire(Entry& entry) {
  entry.credentials.reset();
  const std::string why = entry.error.empty() ? "it has expired" : "it has expired, and could not be renewed: " + entry.error;
  log::error(kScope, "the certificate of " + entry.identity.uri() + " is gone: " + why);
  publish_(entry.identity, failure("no certificate for " + entry.identity.uri() + ": " + why, Reason::kIdentityError));
}

std::vector<Certificates::Shown> Certificates::shown() const {
  std::vector<Shown> out;
  for (const auto& [identity, entry] : entries_) out.push_back({identity, entry->credentials, entry->error});
  return out;
}

}  // namespace culvert::ztunnel
