#include "common/telemetry/registry.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "common/base/format.h"
#include "common/base/mutex.h"

namespace culvert::telemetry {
namespace {

std::string_view kind_text(Kind kind) {
  switch (kind) {
    case Kind::kCounter: return "counter";
    case Kind::kGauge: return "gauge";
    case Kind::kHistogram: return "histogram";
  }
  return "untyped";
}

void append_escaped(std::string& out, std::string_view text, bool quote_too) {
  for (const char c : text) {
    if (c == '\\') out += "\\\\";
    else if (c == '\n') out += "\\n";
    else if (c == '"' && quote_too) out += "\\\"";
    else out += c;
  }
}

void append_number(std::string& out, double value) {
  if (std::isinf(value)) out += value > 0 ? "+Inf" : "-Inf";
  else if (value == std::floor(value) && std::abs(value) < 1e15) out += culvert::format("{:.0f}", value);
  else out += culvert::format("{}", value);
}

void append_sample(std::string& out, const std::string& name, const Sample& sample) {
  out.append(name).append(sample.suffix);
  char separator = '{';
  for (const auto& [label, value] : sample.labels) {
    out += std::exchange(separator, ',');
    out.append(label).append("=\"");
    append_escaped(out, value, true);
    out += '"';
  }
  if (!sample.labels.empty()) out += '}';
  out += ' ';
  append_number(out, sample.value);
  out += '\n';
}

}  // namespace

std::string to_text(std::vector<Family> families) {
  std::vector<Family> joined;
  std::map<std::string, std::size_t> places;
  for (Family& family : families) {
    const auto [place, fresh] = places.try_emplace(family.name, joined.size());
    if (fresh) {
      joined.push_back(std::move(family));
      continue;
    }
    auto& samples = joined[place->second].samples;
    samples.insert(samples.end(), std::make_move_iterator(family.samples.begin()), std::make_move_iterator(family.samples.end()));
  }
  std::string out;
  for (const Family& family : joined) {
    if (family.samples.empty()) continue;
    out.append("# HELP ").append(family.name).append(" ");
    append_escaped(out, family.help, false);
    out.append("\n# TYPE ").append(family.name).append(" ").append(kind_text(family.kind)).append("\n");
    for (const Sample& sample : family.samples) append_sample(out, family.name, sample);
  }
  return out;
}

struct Registry::State {
  template <class Value>
  struct Kept {
    std::string help;
    std::map<Labels, Value> series;  // addresses stay
  };
  // Cold: looked at once per series, and at scrapes.
  mutable Mutex mutex;
  std::map<std::string, Kept<Counter>, std::less<>> counters CULVERT_GUARDED_BY(mutex);
  std::map<std::string, Kept<Gauge>, std::less<>> gauges CULVERT_GUARDED_BY(mutex);
  std::vector<std::function<void(std::vector<Family>&)>> sources CULVERT_GUARDED_BY(mutex);

  template <class Value>
  Value& find(std::map<std::string, Kept<Value>, std::less<>>& all, std::string_view name, std::string_view help,
              const Labels& labels) CULVERT_REQUIRES(mutex) {
    auto& family = all[std::string(name)];
    if (family.help.empty()) family.help = help;
    return family.series[labels];
  }

  template <class Value>
  static void add(std::vector<Family>& families, const std::map<std::string, Kept<Value>, std::less<>>& all, Kind kind) {
    for (const auto& [name, kept] : all) {
      Family family{.name = name, .help = kept.help, .kind = kind, .samples = {}};
      for (const auto& [labels, value] : kept.series)
        family.samples.push_back({.suffix = "", .labels = labels, .value = static_cast<double>(value.value())});
      families.push_back(std::move(family));
    }
  }
};

Registry::Registry() : state_(std::make_unique<State>()) {}
Registry::~Registry() = default;

Counter& Registry::counter(std::string_view name, std::string_view help, const Labels& labels) {
  const Lock lock(state_->mutex);
  return state_->find(state_->counters, name, help, labels);
}

Gauge& Registry::gauge(std::string_view name, std::string_view help, const Labels& labels) {
  const Lock lock(state_->mutex);
  return state_->find(state_->gauges, name, help, labels);
}

void Registry::observe(std::string_view name, std::string_view help, Kind kind, std::function<double()> read,
                       const Labels& labels) {
  collect(
      [name = std::string(name), help = std::string(help), kind, read = std::move(read), labels](std::vector<Family>& families) {
        families.push_back(
            {.name = name, .help = help, .kind = kind, .samples = {{.suffix = "", .labels = labels, .value = read()}}});
      });
}

void Registry::collect(std::function<void(std::vector<Family>&)> source) {
  const Lock lock(state_->mutex);
  state_->sources.push_back(std::move(source));
}

std::string Registry::text() const {
  std::vector<Family> families;
  const Lock lock(state_->mutex);
  State::add(families, state_->counters, Kind::kCounter);
  State::add(families, state_->gauges, Kind::kGauge);
  for (const auto& source : state_->sources) source(families);
  return to_text(std::move(families));
}

std::string to_open_metrics(std::string_view text) {
  constexpr std::string_view kTotal = "_total", kCounter = " counter";
  std::string out;
  out.reserve(text.size() + 16);
  while (!text.empty()) {
    const auto end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
    const bool help = line.starts_with("# HELP "), type = line.starts_with("# TYPE ");
    if (help || type) {
      const auto name_end = std::min(line.find(' ', 7), line.size());
      const std::string_view name = line.substr(0, name_end), rest = line.substr(name_end);
      const bool total = name.ends_with(kTotal);
      out.append(name.substr(0, name.size() - (total ? kTotal.size() : 0)));
      out.append(type && rest == kCounter && !total ? " unknown" : rest);
    } else {
      out.append(line);
    }
    out += '\n';
  }
  return out.append("# EOF\n");
}

}  // namespace culvert::telemetry
