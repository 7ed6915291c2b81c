#pragma once
// Log lines, in the format that readers of Istio's ztunnel know (protocols.md §6.10):
//   <RFC 3339 UTC>\t<level>\t<scope>\t<message>\t<key=value ...>      or one JSON object a line (LOG_FORMAT=json)
// Lines are queued and written to standard output by one background thread, so a slow reader of our output never stops a worker:
// past a bound, lines are dropped and counted, and a line says how many as soon as there is room. Levels are per scope and can be changed while running. Any thread may log.
// No secret is ever passed to these functions.

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "common/base/format.h"
#include "common/base/result.h"

namespace culvert::log {

enum class Level : std::uint8_t { kTrace, kDebug, kInfo, kWarn, kError, kOff };

// One key=value of a line. Texts are quoted, numbers are not; an address is bare in the plain format, and a text in JSON.
struct Field {
  enum class Kind : std::uint8_t { kText, kBare, kNumber };
  std::string_view key;
  std::string value;
  Kind kind = Kind::kText;
};
inline Field field(std::string_view key, std::string value) { return {key, std::move(value), Field::Kind::kText}; }
inline Field bare(std::string_view key, std::string value) { return {key, std::move(value), Field::Kind::kBare}; }
template <class Number>
  requires std::is_arithmetic_v<Number>
Field field(std::string_view key, Number value) {
  return {key, culvert::format("{}", value), Field::Kind::kNumber};
}

// Starts the writer thread. `directive` as RUST_LOG: "info", "info,access=debug,proxy::inbound=trace". Call once, from main.
Status start(std::string_view directive, bool json);
// Writes out what is queued and stops. Called by main on its way out.
void stop();

// Changes levels while running. `reset` starts from the default first. Fails naming the word that is not understood.
Status set_levels(std::string_view directive, bool reset);
// The directive in force, as set_levels reads it.
std::string levels();
// Lines lost because the queue was full.
std::uint64_t dropped();

bool enabled(Level level, std::string_view scope);

// A line that is put together in a buffer which the thread keeps: for what is written at every connection. One at a time on a thread.
class Line {
 public:
  Line(Level level, std::string_view scope, std::string_view message);
  Line(const Line&) = delete;

  void add(std::string_view key, std::string_view value, Field::Kind kind = Field::Kind::kText) {
    add(key, std::initializer_list<std::string_view>{value}, kind);
  }
  // A value in pieces.
  void add(std::string_view key, std::initializer_list<std::string_view> pieces, Field::Kind kind = Field::Kind::kText);
  void add(std::string_view key, std::uint64_t number);
  void write(bool must_not_be_lost = false);
  std::string_view finish();  // the whole of it, instead of writing it

 private:
  std::string& text_;
  bool json_;
  char separator_;
};

void write(Level level, std::string_view scope, std::string_view message, std::span<const Field> fields);
inline void write(Level level, std::string_view scope, std::string_view message, std::initializer_list<Field> fields = {}) {
  write(level, scope, message, std::span(fields.begin(), fields.size()));
}

// A line that must not be lost: who got a certificate. For such ones room is kept when others are dropped. Of level info.
void audit(std::string_view scope, std::string_view message, std::initializer_list<Field> fields);

inline void debug(std::string_view scope, std::string_view message, std::initializer_list<Field> fields = {}) {
  if (enabled(Level::kDebug, scope)) write(Level::kDebug, scope, message, fields);
}
inline void info(std::string_view scope, std::string_view message, std::initializer_list<Field> fields = {}) {
  if (enabled(Level::kInfo, scope)) write(Level::kInfo, scope, message, fields);
}
inline void warn(std::string_view scope, std::string_view message, std::initializer_list<Field> fields = {}) {
  if (enabled(Level::kWarn, scope)) write(Level::kWarn, scope, message, fields);
}
inline void error(std::string_view scope, std::string_view message, std::initializer_list<Field> fields = {}) {
  if (enabled(Level::kError, scope)) write(Level::kError, scope, message, fields);
}

}  // namespace culvert::log
