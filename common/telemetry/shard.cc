#include "common/telemetry/shard.h"

#include <algorithm>
#include <chrono>
#include <format>
#include <map>
#include <mutex>
#include <unordered_map>

#include "common/base/check.h"

namespace culvert::telemetry {
namespace detail {
namespace {

using Clock = std::chrono::steady_clock;

// Written by one thread, read by the one that scrapes: relaxed loads and stores, which are plain moves.
class Cell {
 public:
  void add(std::uint64_t n) { value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed); }
  std::uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_ = 0;
};

// Values joined with a byte that UTF-8 text does not contain.
constexpr char kSeparator = '\xff';

std::string join(std::span<const std::string_view> values) {
  std::size_t size = values.size();
  for (const auto value : values) size += value.size();
  std::string key;
  key.reserve(size);
  for (const auto value : values) key.append(value).push_back(kSeparator);
  return key;
}

std::vector<std::string> split(std::string_view key) {
  std::vector<std::string> values;
  while (!key.empty()) {
    const auto end = key.find(kSeparator);
    values.emplace_back(key.substr(0, end));
    key.remove_prefix(end + 1);
  }
  return values;
}

}  // namespace

// The cells of one label set on one worker: one per counter, or a histogram's buckets and its sum (the bits of a double).
struct Series {
  explicit Series(std::size_t count, const std::vector<double>* its_bounds) : cells(count), bounds(its_bounds) {}

  std::vector<Cell> cells;
  const std::vector<double>* bounds;  // of a histogram
  std::atomic<double> sum = 0;
  int references = 0;
  Clock::time_point touched = Clock::now();
};

struct Totals {
  std::vector<std::uint64_t> cells;
  double sum = 0;

  void add(const Series& series) {
    cells.resize(std::max(cells.size(), series.cells.size()));
    for (std::size_t i = 0; i < series.cells.size(); ++i) cells[i] += series.cells[i].get();
    sum += series.sum.load(std::memory_order_relaxed);
  }
  void add(const Totals& other) {
    cells.resize(std::max(cells.size(), other.cells.size()));
    for (std::size_t i = 0; i < other.cells.size(); ++i) cells[i] += other.cells[i];
    sum += other.sum;
  }
};

struct ShardState {
  explicit ShardState(std::shared_ptr<SetState> its_set) : set(std::move(its_set)) {}

  std::shared_ptr<SetState> set;
  // Changed by its own thread under the set's mutex; read by its own thread without, by the scraper with it.
  std::unordered_map<std::string, std::unique_ptr<Series>> series;
};

struct SetState {
  std::vector<std::string> labels;
  std::vector<CounterName> counters;  // of a CounterSet
  std::string name, help;             // of a HistogramSet
  std::vector<double> bounds;
  std::size_t max_series = 0;
  Counter* overflowed = nullptr;

  // Taken when a series appears or goes on a worker, and at scrapes.
  std::mutex mutex;
  std::vector<ShardState*> shards;
  std::map<std::string, Totals, std::less<>> retired;  // what shards counted in series that they have let go

  std::size_t cell_count() const { return counters.empty() ? bounds.size() + 1 : counters.size(); }

  std::map<std::string, Totals> totals();
  void add_counters(std::vector<Family>& families);
  void add_histogram(std::vector<Family>& families);
  Labels labels_of(const std::string& key) const;
  bool held_by_another(const ShardState& self, const std::string& key) const;
};

std::map<std::string, Totals> SetState::totals() {
  const std::scoped_lock lock(mutex);
  std::map<std::string, Totals> sums(retired.begin(), retired.end());
  for (const ShardState* shard : shards)
    for (const auto& [key, series] : shard->series) sums[key].add(*series);
  return sums;
}

Labels SetState::labels_of(const std::string& key) const {
  std::vector<std::string> values = split(key);
  Labels result;
  for (std::size_t i = 0; i < labels.size(); ++i)
    if (!values[i].empty()) result.emplace_back(labels[i], std::move(values[i]));
  return result;
}

void SetState::add_counters(std::vector<Family>& families) {
  const std::size_t first = families.size();
  for (const CounterName& counter : counters)
    families.push_back({.name = counter.name, .help = counter.help, .kind = Kind::kCounter, .samples = {}});
  for (const auto& [key, sums] : totals()) {
    const Labels series_labels = labels_of(key);
    for (std::size_t i = 0; i < counters.size(); ++i)
      if (sums.cells[i] > 0)
        families[first + i].samples.push_back(
            {.suffix = "", .labels = series_labels, .value = static_cast<double>(sums.cells[i])});
  }
}

void SetState::add_histogram(std::vector<Family>& families) {
  Family family{.name = name, .help = help, .kind = Kind::kHistogram, .samples = {}};
  for (const auto& [key, sums] : totals()) {
    const Labels series_labels = labels_of(key);
    std::uint64_t count = 0;
    for (std::size_t i = 0; i <= bounds.size(); ++i) {
      count += sums.cells[i];
      Labels bucket = series_labels;
      bucket.emplace_back("le", i == bounds.size() ? "+Inf" : std::format("{}", bounds[i]));
      family.samples.push_back({.suffix = "_bucket", .labels = std::move(bucket), .value = static_cast<double>(count)});
    }
    family.samples.push_back({.suffix = "_sum", .labels = series_labels, .value = sums.sum});
    family.samples.push_back({.suffix = "_count", .labels = series_labels, .value = static_cast<double>(count)});
  }
  families.push_back(std::move(family));
}

bool SetState::held_by_another(const ShardState& self, const std::string& key) const {
  return std::ranges::any_of(shards, [&](const ShardState* shard) { return shard != &self && shard->series.contains(key); });
}

}  // namespace detail

namespace {

std::shared_ptr<detail::SetState> make_set(Registry& registry, std::vector<std::string> labels, std::size_t max_series,
                                           const std::string& name) {
  auto set = std::make_shared<detail::SetState>();
  set->labels = std::move(labels);
  set->max_series = max_series;
  set->overflowed =
      &registry.counter("culvert_series_overflow_total",
                        "Lookups of a new label set past the limit of series; they count under \"overflow\"", {{"family", name}});
  return set;
}

}  // namespace

CounterSet::CounterSet(Registry& registry, std::vector<std::string> labels, std::vector<CounterName> counters,
                       std::size_t max_series)
    : state_(make_set(registry, std::move(labels), max_series, counters.at(0).name)) {
  state_->counters = std::move(counters);
  registry.collect([set = state_](std::vector<Family>& families) { set->add_counters(families); });
}

HistogramSet::HistogramSet(Registry& registry, std::string name, std::string help, std::vector<std::string> labels,
                           std::vector<double> upper_bounds, std::size_t max_series)
    : state_(make_set(registry, std::move(labels), max_series, name)) {
  CULVERT_CHECK(std::ranges::is_sorted(upper_bounds));
  state_->name = std::move(name);
  state_->help = std::move(help);
  state_->bounds = std::move(upper_bounds);
  registry.collect([set = state_](std::vector<Family>& families) { set->add_histogram(families); });
}

SeriesRef::SeriesRef(detail::Series* series) : series_(series) {
  if (series_ != nullptr) ++series_->references;
}
SeriesRef::SeriesRef(const SeriesRef& other) : SeriesRef(other.series_) {}
SeriesRef::SeriesRef(SeriesRef&& other) noexcept : series_(std::exchange(other.series_, nullptr)) {}
SeriesRef& SeriesRef::operator=(SeriesRef other) noexcept {
  std::swap(series_, other.series_);
  return *this;
}
SeriesRef::~SeriesRef() {
  if (series_ != nullptr && --series_->references == 0) series_->touched = detail::Clock::now();
}

void Counts::add(std::size_t counter, std::uint64_t n) { series_->cells[counter].add(n); }

void Observations::observe(double value) {
  const auto& bounds = *series_->bounds;
  const auto bucket = std::ranges::lower_bound(bounds, value) - bounds.begin();  // upper bounds are inclusive
  series_->cells[static_cast<std::size_t>(bucket)].add(1);
  series_->sum.store(series_->sum.load(std::memory_order_relaxed) + value, std::memory_order_relaxed);
}

ShardBase::ShardBase(std::shared_ptr<detail::SetState> set) : state_(std::make_unique<detail::ShardState>(std::move(set))) {
  const std::scoped_lock lock(state_->set->mutex);
  state_->set->shards.push_back(state_.get());
}

ShardBase::~ShardBase() {
  auto& set = *state_->set;
  const std::scoped_lock lock(set.mutex);
  for (const auto& [key, series] : state_->series) set.retired[key].add(*series);
  std::erase(set.shards, state_.get());
}

SeriesRef ShardBase::find(std::span<const std::string_view> values) {
  auto& set = *state_->set;
  CULVERT_CHECK(values.size() == set.labels.size());
  std::string key = detail::join(values);
  if (const auto known = state_->series.find(key); known != state_->series.end()) return SeriesRef(known->second.get());
  if (state_->series.size() >= set.max_series) {
    set.overflowed->add();
    key = detail::join(std::vector<std::string_view>(values.size(), "overflow"));
  }
  const std::scoped_lock lock(set.mutex);
  auto& series = state_->series[key];
  if (!series) series = std::make_unique<detail::Series>(set.cell_count(), set.counters.empty() ? &set.bounds : nullptr);
  return SeriesRef(series.get());
}

void ShardBase::remove_stale(std::chrono::seconds age) {
  auto& set = *state_->set;
  const auto before = detail::Clock::now() - age;
  const std::scoped_lock lock(set.mutex);
  std::erase_if(state_->series, [&](const auto& entry) {
    const auto& [key, series] = entry;
    if (series->references > 0 || series->touched > before) return false;
    // The last worker that knows it takes the sum along; until then others add to what this one counted.
    if (set.held_by_another(*state_, key)) set.retired[key].add(*series);
    else set.retired.erase(key);
    return true;
  });
}

std::size_t ShardBase::size() const { return state_->series.size(); }

}  // namespace culvert::telemetry
