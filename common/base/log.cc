#include "common/base/log.h"

#include <unistd.h>

#include <atomic>
#include <charconv>
#include <chrono>
#include <ctime>
#include <memory>
#include <mutex>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "common/base/format.h"
#include "common/base/log_writer.h"
#include "common/base/utf8.h"

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

std::atomic<Writer*> writer{nullptr};              // never deleted: other threads may log while the program ends
auto& former_writers = *new std::vector<Writer*>;  // of logs that were stopped before; somebody may still hold one
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
          culvert::format("log directive \"{}\": not LEVEL or SCOPE=LEVEL (levels: trace, debug, info, warn, error, off)", word));
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

// "2026-11-20T10:00:00.000000Z". A second's text is made once.
void append_now(std::string& out) {
  thread_local std::time_t second = -1;
  thread_local char text[sizeof "2026-11-20T10:00:00"];
  const auto now = std::chrono::system_clock::now();
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch()).count();
  if (const std::time_t seconds = micros / 1'000'000; seconds != second) {
    std::tm utc{};
    gmtime_r(&seconds, &utc);
    std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    second = seconds;
  }
  char fraction[] = ".000000Z";
  auto rest = micros % 1'000'000;
  for (char* digit = fraction + 6; rest != 0; rest /= 10) *digit-- = static_cast<char>('0' + rest % 10);
  out.append(text).append(fraction);
}

// What a text may hold that a peer sent: control characters never reach the terminal, and JSON knows nothing but UTF-8.
enum class Letter : std::uint8_t { kPlain, kControl, kBroken };

// The one that `text` begins with, and how many bytes it has. C1 controls have two (C2 80 to C2 9F).
std::pair<Letter, std::size_t> first_letter(std::string_view text) {
  const auto first = static_cast<unsigned char>(text.front());
  if (first < 0x80) return {first < 0x20 || first == 0x7f ? Letter::kControl : Letter::kPlain, 1};
  const std::size_t size = utf8_size(text);
  if (size == 0) return {Letter::kBroken, 1};
  const bool control = first == 0xc2 && static_cast<unsigned char>(text[1]) < 0xa0;
  return {control ? Letter::kControl : Letter::kPlain, size};
}

void append_escaped(std::string& out, std::string_view text) {
  std::size_t done = 0;
  for (std::size_t at = 0, size = 0; at < text.size(); at += size) {
    Letter letter;
    std::tie(letter, size) = first_letter(text.substr(at));
    const char c = text[at];
    if (letter == Letter::kPlain && c != '"' && c != '\\') continue;
    out.append(text.substr(done, at - done));
    done = at + size;
    if (letter == Letter::kPlain) out.append(1, '\\').append(1, c);
    else if (letter == Letter::kBroken) out += "\\ufffd";
    else out += culvert::format("\\u{:04x}", static_cast<unsigned char>(text[done - 1]));
  }
  out.append(text.substr(done));
}

void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  append_escaped(out, text);
  out += '"';
}

void append_plain(std::string& out, std::string_view text) {
  while (!text.empty()) {
    const auto [letter, size] = first_letter(text);
    if (letter == Letter::kPlain) out += text.substr(0, size);
    else out += letter == Letter::kControl ? ' ' : '?';
    text.remove_prefix(size);
  }
}

std::string& buffer_of_thread() {
  thread_local std::string buffer;
  buffer.clear();
  return buffer;
}

std::string dropped_line(std::uint64_t lines) {
  Line line(Level::kWarn, "log", "lines were dropped here, because the reader of our output is too slow");
  line.add("lines", lines);
  return std::string(line.finish());
}

}  // namespace

Status start(std::string_view directive, bool json) {
  const std::scoped_lock lock(change_mutex);
  Rules rules = {{"", Level::kInfo}};
  if (auto parsed = parse_into(rules, directive); !parsed) return parsed;
  publish(std::move(rules));
  json_format = json;
  if (Writer* const former = writer.exchange(new Writer(STDOUT_FILENO, dropped_line))) {
    former->finish();
    former_writers.push_back(former);
  }
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

Line::Line(Level level, std::string_view scope, std::string_view message)
    : text_(buffer_of_thread()), json_(json_format.load(std::memory_order_relaxed)), separator_(json_ ? ',' : '\t') {
  const std::string_view word = kNames[static_cast<int>(level)];
  if (json_) {
    text_.append("{\"level\":\"").append(word).append("\",\"time\":\"");
    append_now(text_);
    text_.append("\",\"scope\":");
    append_quoted(text_, scope);
    text_.append(",\"message\":");
    append_quoted(text_, message);
  } else {
    append_now(text_);
    text_.append("\t").append(word).append("\t").append(scope).append("\t");
    append_plain(text_, message);
  }
}

void Line::add(std::string_view key, std::initializer_list<std::string_view> pieces, Field::Kind kind) {
  text_ += separator_;
  if (json_) {
    append_quoted(text_, key);
    text_ += ':';
  } else {
    text_.append(key).append("=");
    separator_ = ' ';
  }
  const bool quoted = kind == Field::Kind::kText || (json_ && kind == Field::Kind::kBare);
  if (quoted) text_ += '"';
  for (const std::string_view piece : pieces) {
    if (quoted) append_escaped(text_, piece);
    else text_ += piece;
  }
  if (quoted) text_ += '"';
}

void Line::add(std::string_view key, std::uint64_t number) {
  char digits[20];
  const auto [end, unused] = std::to_chars(digits, digits + sizeof digits, number);
  add(key, std::string_view(digits, end), Field::Kind::kNumber);
}

std::string_view Line::finish() {
  if (json_) text_ += '}';
  return text_;
}

void Line::write(bool must_not_be_lost) {
  const std::string_view text = finish();
  if (Writer* const now = writer.load(std::memory_order_acquire)) now->add(text, must_not_be_lost);
}

namespace {

void write_line(Level level, std::string_view scope, std::string_view message, std::span<const Field> fields,
                bool must_not_be_lost) {
  if (writer.load(std::memory_order_acquire) == nullptr) return;
  Line line(level, scope, message);
  for (const Field& field : fields) line.add(field.key, field.value, field.kind);
  line.write(must_not_be_lost);
}

}  // namespace

void write(Level level, std::string_view scope, std::string_view message, std::span<const Field> fields) {
  write_line(level, scope, message, fields, false);
}

void audit(std::string_view scope, std::string_view message, std::initializer_list<Field> fields) {
  if (enabled(Level::kInfo, scope)) write_line(Level::kInfo, scope, message, std::span(fields.begin(), fields.size()), true);
}

}  // namespace culvert::log
