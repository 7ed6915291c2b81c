#pragma once
// The certificates of all identities that pods of this node have: fetched ahead, renewed at half of their life, kept until they expire
// when renewing fails, dropped with their last pod. One Loop: the control thread's. Workers get them by `publish`.

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/base/identity.h"
#include "common/base/result.h"
#include "common/net/event.h"
#include "ztunnel/identity/credentials.h"
#include "ztunnel/identity/renewal.h"

namespace culvert::ztunnel {

class Certificates {
 public:
  using Fetch = std::function<net::Task<Result<CredentialsRef>>(Identity)>;
  // Nothing: the identity has no pod here any more.
  using Publish = std::function<void(const Identity&, std::optional<Result<CredentialsRef>>)>;
  static constexpr std::size_t kAtOnce = 8;  // calls to the authority

  Certificates(net::Loop& loop, Fetch fetch, Publish publish);

  // The identities that pods of this node have. What is new is fetched, what is gone dropped.
  void set_wanted(const std::set<Identity>& identities);
  // A connection waits for this one: it goes first, and at once if nothing is under way. Ignored for identities without a pod here.
  void hurry(const Identity& identity);

  // There is one, or a reason why there is none yet.
  bool tried(const Identity& identity) const;

  // What is trusted has changed: all are fetched again, and bring it along. What is here is used meanwhile.
  void renew_all();

  // As /config_dump shows it.
  struct Shown {
    Identity identity;
    CredentialsRef credentials;  // null: none
    std::string error;           // why not, or why it could not be renewed
  };
  std::vector<Shown> shown() const;

 private:
  enum class Priority : std::uint8_t { kHurried, kFirst, kRenewal };
  struct Entry {
    Identity identity;
    CredentialsRef credentials;
    CredentialsRef coming;  // its life has not begun: used once it has, while `credentials` are good for as long
    std::string error;
    unsigned failures = 0;
    bool under_way = false;
    bool dropped = false;
    bool again = false;  // what is under way may be of before renew_all()
    Priority priority = Priority::kFirst;
    Clock::time_point due;      // when to fetch
    Clock::time_point fetched;  // when the last call was begun
  };
  using EntryRef = std::shared_ptr<Entry>;

  net::Task<> schedule();
  net::Task<> fetch(EntryRef entry);
  EntryRef next_due(Clock::time_point now) const;
  std::optional<Clock::time_point> next_deadline() const;
  void accept(Entry& entry, Result<CredentialsRef> fetched);
  void use(Entry& entry, CredentialsRef credentials, Clock::time_point now);
  static void retry_later(Entry& entry, Clock::time_point now);
  void expire(Entry& entry);

  net::Loop& loop_;
  Fetch fetch_;
  Publish publish_;
  std::map<Identity, EntryRef> entries_;
  std::size_t under_way_ = 0;
  net::Event changed_;
};

}  // namespace culvert::ztunnel
