#pragma once
// The counters of one worker: plain numbers that only its thread touches. A scrape takes a copy on that thread and adds the copies up.

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/base/reason.h"
#include "ztunnel/record/facts.h"
#include "ztunnel/record/labels.h"

namespace culvert::ztunnel {

// Istio's response flags, as index of Traffic::closed.
inline constexpr std::array<std::string_view, 7> kResponseFlags = {
    "-", "DENY", "CONNECT", "TLS_FAILURE", "H2_HANDSHAKE_FAILURE", "NETWORK_POLICY", "IDENTITY_ERROR"};
inline constexpr std::size_t kReasons = static_cast<std::size_t>(Reason::kInternal) + 1;

// The connections of one set of labels.
struct Traffic {
  std::uint64_t opened = 0;
  std::array<std::uint64_t, kResponseFlags.size()> closed{};
  std::array<std::uint64_t, kResponseFlags.size()> sent{},
      received{};  // bytes to the client, bytes to the server; counted at the end

  Traffic& operator+=(const Traffic& other);
};

struct DnsCounts {
  static constexpr std::array<double, 6> kBuckets = {0.0005, 0.001, 0.01, 0.1, 1, 5};  // seconds
  std::uint64_t requests = 0, forwarded = 0, failed = 0;                               // failed ones were forwarded, too
  std::array<std::uint64_t, kBuckets.size()> took{};  // not cumulative; the rest is forwarded less their sum
  double seconds = 0;

  DnsCounts& operator+=(const DnsCounts& other);
};

// Everything that a worker counts, as values.
struct Counts {
  using TrafficByLabels = std::map<std::string, std::pair<TrafficLabels, Traffic>>;  // by the labels' text
  TrafficByLabels traffic;
  TrafficByLabels retired;                            // of label sets that the worker has let go of; no part of `traffic`
  std::map<std::string, DnsCounts> dns, retired_dns;  // by the labels' text; as those of traffic
  std::array<std::uint64_t, 2> dns_dropped{};         // over UDP, over TCP
  std::array<std::array<std::uint64_t, kReasons>, 2> ended{};  // by reporter and reason, early refusals included
  std::array<std::int64_t, 2> open{};                          // by reporter
  std::uint64_t tunnels = 0, tunnel_streams = 0, tunnel_connects = 0, tunnel_failures = 0;

  Counts& operator+=(const Counts& other);
};

// What workers have let go of still belongs to a sum while another worker holds the same label set: sums never go down. When none does,
// the set is gone, and begins at nothing should it come again.
class Retired {
 public:
  // `sum` of all workers; gets its share of what was let go of before.
  void settle(Counts& sum);

 private:
  Counts::TrafficByLabels kept_;
  std::map<std::string, DnsCounts> kept_dns_;
};

class Meter;

// One label set. Whoever counts in it holds it: it is let go of only when nobody does.
struct TrafficSet {
  TrafficLabels labels;
  Traffic traffic;
  std::uint32_t holders = 0;
  std::uint64_t seen = 0;  // what had happened here when it was last looked at, and since when
  std::chrono::steady_clock::time_point since{};
};

// The same of DNS, where everything is over at once: nobody holds it.
struct DnsSet {
  DnsCounts counts;
  std::uint64_t seen = 0;
  std::chrono::steady_clock::time_point since{};
};

class Counters {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::minutes kIdle{15};  // after this a label set without connections or queries is let go of

  // The entry for these facts. Computing labels is dear, so the last ones are remembered.
  TrafficSet& traffic(const Facts& facts);
  void ended(Reporter reporter, Reason reason) { ++ended_[static_cast<std::size_t>(reporter)][static_cast<std::size_t>(reason)]; }
  void open(Reporter reporter, int change) { open_[static_cast<std::size_t>(reporter)] += change; }
  DnsCounts& dns(const model::Workload* client, std::string_view type, bool tcp);
  void dns_dropped(bool tcp) { ++dns_dropped_[tcp ? 1 : 0]; }

  // With what live connections have carried so far. Each label set that is let go of is in `retired` or `retired_dns` once.
  Counts counts(Clock::time_point now = Clock::now());

 private:
  friend class Meter;
  // Past this many label sets, what is new is counted without names: nobody may fill our memory with names of his choice.
  static constexpr std::size_t kMostSets = 20'000;
  static constexpr std::size_t kMostRecent = 2048;

  struct Key {
    Reporter reporter;
    const void* source;
    const void* destination;
    const void* service;
    std::optional<Identity> source_identity, destination_identity;
    friend bool operator==(const Key&, const Key&) = default;
  };
  // Facts are looked up as they are: nothing is copied for a connection like one before.
  struct KeyHash {
    using is_transparent = void;
    std::size_t operator()(const Key& key) const;
    std::size_t operator()(const Facts& facts) const;
  };
  struct KeyEqual {
    using is_transparent = void;
    bool operator()(const Key& a, const Key& b) const { return a == b; }
    bool operator()(const Facts& facts, const Key& key) const { return (*this)(key, facts); }
    bool operator()(const Key& key, const Facts& facts) const;
  };
  struct Recent {
    model::WorkloadRef source, destination;  // keep the addresses of the key from being used again
    model::ServiceRef service;
    TrafficSet* traffic;
  };
  using Remembered = std::unordered_map<Key, Recent, KeyHash, KeyEqual>;

  TrafficSet& by_labels(const Facts& facts);
  void turn_over();  // what was not asked for since the last time is forgotten
  Counts::TrafficByLabels let_go(Clock::time_point now);
  std::map<std::string, DnsCounts> let_go_dns(Clock::time_point now);

  std::unordered_map<std::string, std::unique_ptr<TrafficSet>> traffic_;
  // Facts of today and of before: what a new mesh has replaced is never asked for again, and goes with the turns.
  Remembered recent_, older_;
  std::map<std::string, DnsSet> dns_;
  std::array<std::uint64_t, 2> dns_dropped_{};
  std::array<std::array<std::uint64_t, kReasons>, 2> ended_{};
  std::array<std::int64_t, 2> open_{};
  Meter* first_meter_ = nullptr;
};

std::size_t flag_index(Reason reason);

}  // namespace culvert::ztunnel
