#pragma once
// The counters of one worker: plain numbers that only its thread touches. A scrape takes a copy on that thread and adds the copies up.

#include <array>
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
  std::map<std::string, std::pair<TrafficLabels, Traffic>> traffic;  // by the labels' text
  std::map<std::string, DnsCounts> dns;                              // by the labels' text
  std::array<std::array<std::uint64_t, kReasons>, 2> ended{};        // by reporter and reason, early refusals included
  std::array<std::int64_t, 2> open{};                                // by reporter
  std::uint64_t tunnels = 0, tunnel_streams = 0, tunnel_connects = 0, tunnel_failures = 0;

  Counts& operator+=(const Counts& other);
};

class Meter;

class Counters {
 public:
  // The entry for these facts. Computing labels is dear, so the last ones are remembered.
  Traffic& traffic(const Facts& facts);
  void ended(Reporter reporter, Reason reason) { ++ended_[static_cast<std::size_t>(reporter)][static_cast<std::size_t>(reason)]; }
  void open(Reporter reporter, int change) { open_[static_cast<std::size_t>(reporter)] += change; }
  DnsCounts& dns(const model::Workload* client, std::string_view type, bool tcp);

  // Remembered facts hold on to objects of the mesh that made them.
  void forget_facts() { recent_.clear(); }

  Counts counts();  // with what live connections have carried so far

 private:
  friend class Meter;
  // Past this many label sets, what is new is counted without names: nobody may fill our memory with names of his choice.
  static constexpr std::size_t kMostSets = 20'000;
  static constexpr std::size_t kMostRecent = 4096;

  struct Key {
    Reporter reporter;
    const void* source;
    const void* destination;
    const void* service;
    std::optional<Identity> source_identity, destination_identity;
    friend bool operator==(const Key&, const Key&) = default;
  };
  struct KeyHash {
    std::size_t operator()(const Key& key) const;
  };
  struct Recent {
    model::WorkloadRef source, destination;  // keep the addresses of the key from being used again
    model::ServiceRef service;
    Traffic* traffic;
  };

  Traffic& by_labels(const Facts& facts);

  std::unordered_map<std::string, std::pair<TrafficLabels, std::unique_ptr<Traffic>>> traffic_;
  std::unordered_map<Key, Recent, KeyHash> recent_;
  std::map<std::string, DnsCounts> dns_;
  std::array<std::array<std::uint64_t, kReasons>, 2> ended_{};
  std::array<std::int64_t, 2> open_{};
  Meter* first_meter_ = nullptr;
};

std::size_t flag_index(Reason reason);

}  // namespace culvert::ztunnel
