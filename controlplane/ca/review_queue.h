#pragma once
// Whose token is shown to the API server next, so that nobody keeps the others out. Addresses have their turns, each with a few tokens at a time and a few
// that wait. Some of the room is kept for addresses where proxies of the mesh are known to be. An address whose token was refused comes last for a while,
// one token at a time. Tokens go by their hashes; the time is passed in.

#include <cstddef>
#include <deque>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/net/loop.h"
#include "controlplane/ca/review_cache.h"

namespace culvert::controlplane {

class ReviewQueue {
 public:
  struct Limits {
    std::size_t at_once = 16;
    std::size_t kept = 4;    // of these, for known addresses
    std::size_t of_one = 4;  // of these, for one address
    std::size_t waiting_of_one = 32;
    std::size_t waiting = 10'000;       // of all addresses that are not known
    std::chrono::seconds patience{10};  // of who waits
    std::chrono::seconds last_for{10};  // an address whose token was refused
  };
  struct Turn {
    TokenHash token;
    std::string from;
    bool known = false;

    friend bool operator==(const Turn&, const Turn&) = default;
  };
  enum class Answer : std::uint8_t { kGood, kRefused, kNone };

  ReviewQueue() : ReviewQueue(Limits{}) {}
  explicit ReviewQueue(Limits limits) : limits_(limits) {}

  // False: too many wait already.
  bool add(const std::string& from, bool known, const TokenHash& token, net::Clock::time_point now);
  // Whose turn it is; none while there is no room. done() says when its place is free again.
  std::optional<Turn> next(net::Clock::time_point now);
  void done(const Turn& turn, Answer answer, net::Clock::time_point now);
  // Those whose turn has not come in time; they wait no more.
  std::vector<TokenHash> overdue(net::Clock::time_point now);

 private:
  struct Address {
    bool known = false;
    std::deque<std::pair<TokenHash, net::Clock::time_point>> waiting;  // since when
    std::size_t under_way = 0;
    net::Clock::time_point last_until{};
  };
  using Addresses = std::map<std::string, Address>;
  // How soon: known, others, those that are last. None when there is no room for it.
  std::optional<int> rank(const Address& address, net::Clock::time_point now) const;
  void forget(Addresses::iterator address, net::Clock::time_point now);

  Limits limits_;
  Addresses addresses_;
  std::list<Addresses::iterator> turns_;  // who waits; whose turn came last is last
  std::size_t strangers_waiting_ = 0, under_way_ = 0, strangers_under_way_ = 0;
  net::Clock::time_point swept_{};
};

}  // namespace culvert::controlplane
