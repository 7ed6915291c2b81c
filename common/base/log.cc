#include "common/base/log.h"

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <ctime>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "common/base/log_writer.h"

namespace culvert::log {
namespace {

struct Rule {
  std::string scope;  // "" is the default
  Level level = Level::kInfo;
};
using Rules = std::vector<Rule>;

// Replaced whole; readers never lock. Old tables are kept for readers that still look at them (they change by hand, rarely).
std::atomic<const Rules*> current_rules{nullptr};
std::mutex change_mutex;  // serialises start and set_levels, never taken by a log line
std::vector<std::unique_ptr<const Rules>> all_rules;

std::atomic<Writer*> writer{nullptr};  // never deleted: other threads may log while the program ends
std::atomic<bool> json_format{false};

constexpr std::string_view kNames[] = {"trace", "debug", "info", "warn", "error", "off"};

std::optional<Level> parse_level(std::string_view word) {
  for (std::size_t i = 0; i < std::size(kNames); ++i)
    if (word == kNames[i]) return static_cast<Level>(i);
  return std::nullopt;
}

void put(Rules& rules, Rule rule) {
  for (Rule& known : rules)
    if (known.scope == rule.scope) {
      known = std::move(rule);
      return;
    }
  rules.push_back(std::move(rule));
}

Status parse_into(Rules& rules, std::string_view directive) {
  while (!directive.empty()) {
    const auto comma = directive.find(',');
    const std::string_view word = directive.substr(0, comma);
    directive = comma == std::string_view::npos ? "" : directive.substr(comma + 1);
    if (word.empty()) continue;
    const auto equals = word.find('=');
    const auto level = parse_level(equals == std::string_view::npos ? word : word.substr(equals + 1));
    if (!level)
      return failure(
          std::format("log directive \"{}\": not LEVEL or SCOPE=LEVEL (levels: trace, debug, info, warn, error, off)", word));
    put(rules, {std::string(equals == std::string_view::npos ? "" : word.substr(0, equals)), *level});
  }
  return {};
}

void publish(Rules rules) {
  all_rules.push_back(std::make_unique<const Rules>(std::move(rules)));
  current_rules.store(all_rules.back().get(), std::memory_order_release);
}

// The longest rule whose scope is `scope` or a parent of it ("proxy" rules "proxy::inbound").
Level level_of(std::string_view scope) {
  const Rules* rules = current_rules.load(std::memory_order_acquire);
  if (rules == nullptr) return Level::kOff;
  const Rule* best = nullptr;
  for (const Rule& rule : *rules) {
    const bool fits = rule.scope.empty() || scope == rule.scope ||
                      (scope.starts_with(rule.scope) && scope.substr(rule.scope.size()).starts_with("::"));
    if (fits && (best == nullptr || rule.scope.size() > best->scope.size())) best = &rule;
  }
  return best == nullptr ? Level::kInfo : best->level;
}

std::string now_text() {
  const auto now = std::chrono::system_clock::now();
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch()).count();
  const std::time_t seconds = micros / 1'000'000;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char text[40];
  const auto length = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
  return std::string(text, length) + std::format(".{:06}Z", micros % 1'000'000);
}

void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += std::format("\\u{:04x}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  out += '"';
}

// A message may carry what a peer sent: control characters never reach the terminal.
void append_plain(std::string& out, std::string_view text) {
  for (const char c : text) out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
}

std::string plain_line(Level level, std::string_view scope, std::string_view message, std::span<const Field> fields) {
  std::string line = now_text();
  line.append("\t").append(kNames[static_cast<int>(level)]).append("\t").append(scope).append("\t");
  append_plain(line, message);
  char separator = '\t';
  for (const Field& field : fields) {
    line += std::exchange(separator, ' ');
    line.append(field.key).append("=");
    if (field.quoted) append_quoted(line, field.value);
    else line += field.value;
  }
  return line;
}

std::string json_line(Level level, std::string_view scope, std::string_view message, std::span<const Field> fields) {
  std::string line = "{\"level\":";
  append_quoted(line, kNames[static_cast<int>(level)]);
  line.append(",\"time\":\"").append(now_text()).append("\",\"scope\":");
  append_quoted(line, scope);
  line.append(",\"message\":");
  append_quoted(line, message);
  for (const Field& field : fields) {
    line += ',';
    append_quoted(line, field.key);
    line += ':';
    if (field.quoted) append_quoted(line, field.value);
    else line += field.value;
  }
  return line + '}';
}

}  // namespace

Status start(std::string_view directive, bool json) {
  const std::scoped_lock lock(change_mutex);
  Rules rules = {{"", Level::kInfo}};
  if (auto parsed = parse_into(rules, directive); !parsed) return parsed;
  publish(std::move(rules));
  json_format = json;
  writer = new Writer(STDOUT_FILENO);
  return {};
}

void stop() {
  const std::scoped_lock lock(change_mutex);
  current_rules = nullptr;
  if (Writer* const last = writer.load()) last->finish();
}

Status set_levels(std::string_view directive, bool reset) {
  const std::scoped_lock lock(change_mutex);
  const Rules* now = current_rules.load();
  Rules rules = reset || now == nullptr ? Rules{{"", Level::kInfo}} : *now;
  if (auto parsed = parse_into(rules, directive); !parsed) return parsed;
  publish(std::move(rules));
  return {};
}

std::string levels() {
  const Rules* rules = current_rules.load(std::memory_order_acquire);
  std::string text;
  if (rules == nullptr) return text;
  for (const Rule& rule : *rules) {
    if (!text.empty()) text += ',';
    if (!rule.scope.empty()) text.append(rule.scope).append("=");
    text += kNames[static_cast<int>(rule.level)];
  }
  return text;
}

std::uint64_t dropped() {
  const Writer* const now = writer.load();
  return now == nullptr ? 0 : now->dropped();
}

bool enabled(Level level, std::string_view scope) { return level >= level_of(scope) && level != Level::kOff; }

void write(Level level, std::string_view scope, std::string_view message, std::span<const Field> fields) {
  Writer* const now = writer.load(std::memory_order_acquire);
  if (now == nullptr) return;
  now->add(json_format ? json_line(level, scope, message, fields) : plain_line(level, scope, message, fields));
}

}  // namespace culvert::log
