#pragma once
// What /metrics shows. One Registry per program; it outlives everything that counts in it.
//
// Two ways to count, by how hot the place is (ztunnel counts connections per worker, and adds up at a scrape: ztunnel/record):
// * Counter and Gauge: one atomic each, any thread: for events of the control thread;
// * observe(): a function asked at scrape: for values that somebody keeps anyway.
//
// Names and labels: protocols.md section 6.9; our own begin with culvert_.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace culvert::telemetry {

using Labels = std::vector<std::pair<std::string, std::string>>;

enum class Kind : std::uint8_t { kCounter, kGauge, kHistogram };

class Counter {
 public:
  void add(std::uint64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_ = 0;
};

class Gauge {
 public:
  void set(std::int64_t value) { value_.store(value, std::memory_order_relaxed); }
  void add(std::int64_t n) { value_.fetch_add(n, std::memory_order_relaxed); }
  std::int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::int64_t> value_ = 0;
};

// One family as text is made of it: samples in the order given.
struct Sample {
  std::string suffix;  // "_bucket", "_sum", ... of a histogram; else empty
  Labels labels;
  double value = 0;
};
struct Family {
  std::string name;
  std::string help;
  Kind kind = Kind::kCounter;
  std::vector<Sample> samples;
};

class Registry {
 public:
  Registry();
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  // The same name and labels give the same object; it stays until the registry goes. Any thread. Keep the reference: looking up takes a lock.
  Counter& counter(std::string_view name, std::string_view help, const Labels& labels = {});
  Gauge& gauge(std::string_view name, std::string_view help, const Labels& labels = {});

  // `read` is called at every scrape, on the thread that scrapes (the program's control thread).
  void observe(std::string_view name, std::string_view help, Kind kind, std::function<double()> read, const Labels& labels = {});
  // The same for many series, or whole families.
  void collect(std::function<void(std::vector<Family>&)> source);
  // process_resident_memory_bytes, process_virtual_memory_bytes, process_open_fds, process_max_fds, process_cpu_seconds_total,
  // process_start_time_seconds, process_threads.
  void add_process();

  // Prometheus text format 0.0.4. Any one thread at a time.
  std::string text() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The same text for who asks for OpenMetrics 1.0: a counter's family is named without _total, and the end is said.
std::string to_open_metrics(std::string_view text);

// The text of some families: names, HELP, TYPE, escaping. Families of one name are joined.
std::string to_text(std::vector<Family> families);

}  // namespace culvert::telemetry
