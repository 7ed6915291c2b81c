#pragma once
// Counters per worker: an addition is a plain load and store in the worker's own memory, whatever other workers do.
//
//   // at start, once:
//   CounterSet traffic(registry, {"reporter", "source_workload", ...},
//                      {{"istio_tcp_connections_opened_total", "..."}, {"istio_tcp_sent_bytes_total", "..."}});
//   // per worker:
//   CounterShard counts(traffic);
//   // per connection, on the worker:
//   auto series = counts.at({"source", "client", ...});   // finds the label set, one hash of its text; hold it while the connection lives
//   series.add(0);                                         // opened
//   series.add(1, bytes);                                  // sent bytes, as they pass
//
// Label sets are bounded: past `max_series` a new one counts under the label value "overflow" and culvert_series_overflow_total
// says so. Series that nobody holds and nobody counted in for a while are removed (remove_stale), never while another
// worker still uses them, so that a sum never goes down.

#include <chrono>
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/telemetry/registry.h"

namespace culvert::telemetry {

namespace detail {
struct SetState;
struct ShardState;
struct Series;
}  // namespace detail

struct CounterName {
  std::string name;  // ends in _total
  std::string help;
};

// Counters that share their labels. A series is shown from its first count on.
class CounterSet {
 public:
  static constexpr std::size_t kMaxSeries = 20'000;
  CounterSet(Registry& registry, std::vector<std::string> labels, std::vector<CounterName> counters,
             std::size_t max_series = kMaxSeries);

 private:
  friend class CounterShard;
  std::shared_ptr<detail::SetState> state_;
};

// One histogram with labels.
class HistogramSet {
 public:
  HistogramSet(Registry& registry, std::string name, std::string help, std::vector<std::string> labels,
               std::vector<double> upper_bounds, std::size_t max_series = CounterSet::kMaxSeries);

 private:
  friend class HistogramShard;
  std::shared_ptr<detail::SetState> state_;
};

// One label set on one worker. Copies share it. Must be gone before its shard.
class SeriesRef {
 public:
  SeriesRef() = default;
  SeriesRef(const SeriesRef& other);
  SeriesRef(SeriesRef&& other) noexcept;
  SeriesRef& operator=(SeriesRef other) noexcept;
  ~SeriesRef();
  explicit operator bool() const { return series_ != nullptr; }

 protected:
  friend class ShardBase;
  explicit SeriesRef(detail::Series* series);
  detail::Series* series_ = nullptr;
};

class Counts : public SeriesRef {
 public:
  using SeriesRef::SeriesRef;
  explicit Counts(SeriesRef series) : SeriesRef(std::move(series)) {}
  void add(std::size_t counter, std::uint64_t n = 1);
};

class Observations : public SeriesRef {
 public:
  using SeriesRef::SeriesRef;
  explicit Observations(SeriesRef series) : SeriesRef(std::move(series)) {}
  void observe(double value);
};

class ShardBase {
 public:
  ShardBase(const ShardBase&) = delete;
  ShardBase& operator=(const ShardBase&) = delete;
  // On the shard's thread, now and then (every few minutes): forgets series untouched since `age`.
  void remove_stale(std::chrono::seconds age);
  std::size_t size() const;  // series held here

 protected:
  explicit ShardBase(std::shared_ptr<detail::SetState> set);
  ~ShardBase();  // what was counted stays
  SeriesRef find(std::span<const std::string_view> values);

 private:
  std::unique_ptr<detail::ShardState> state_;
};

// Belongs to one thread; made anywhere.
class CounterShard : public ShardBase {
 public:
  explicit CounterShard(const CounterSet& set) : ShardBase(set.state_) {}
  // As many values as the set has labels, in its order.
  Counts at(std::span<const std::string_view> values) { return Counts(find(values)); }
  Counts at(std::initializer_list<std::string_view> values) { return at(std::span(values.begin(), values.size())); }
};

class HistogramShard : public ShardBase {
 public:
  explicit HistogramShard(const HistogramSet& set) : ShardBase(set.state_) {}
  Observations at(std::span<const std::string_view> values) { return Observations(find(values)); }
  Observations at(std::initializer_list<std::string_view> values) { return at(std::span(values.begin(), values.size())); }
};

}  // namespace culvert::telemetry
