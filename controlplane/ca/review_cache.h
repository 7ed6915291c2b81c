#pragma once
// What the API server said about tokens, under their hashes: for a while, and good answers also beyond it, for when it cannot be asked again. Good answers
// and refusals lie on shelves of their own: strangers can fill one of them, and it is never the one that proved callers need. Who was not asked for longest
// goes first. The time is passed in.

#include <array>
#include <cstddef>
#include <list>
#include <map>
#include <string>
#include <utility>

#include "common/net/loop.h"
#include "controlplane/ca/callers.h"

namespace culvert::controlplane {

using TokenHash = std::array<unsigned char, 32>;

struct Review {
  Result<Caller> caller;
  std::string pod_namespace, pod_name, pod_uid;  // what it holds for; empty for a refusal
  net::Clock::time_point until;
};

class ReviewCache {
 public:
  explicit ReviewCache(std::size_t most_good = 20'000, std::size_t most_refused = 5'000)
      : good_{most_good}, refused_{most_refused} {}

  // None when it is not there, or its time is over. Good until the next call.
  const Review* find(const TokenHash& hash, net::Clock::time_point now);
  // The last good answer, however old.
  const Review* find_old(const TokenHash& hash);
  void put(const TokenHash& hash, Review review);
  void erase(const TokenHash& hash);
  std::size_t size() const { return good_.index.size() + refused_.index.size(); }

 private:
  using Order = std::list<std::pair<TokenHash, Review>>;  // used last is first
  struct Shelf {
    std::size_t most;
    Order order = {};
    std::map<TokenHash, Order::iterator> index = {};

    const Review* find(const TokenHash& hash);
    void erase(const TokenHash& hash);
  };
  Shelf good_, refused_;
};

}  // namespace culvert::controlplane
