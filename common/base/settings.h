#pragma once
// Settings are a table: one row per setting, from which --help, the admin page and docs/operations.md are printed.
//
//   struct Settings {
//     std::string node_name;                              // what stands here is the default
//     std::filesystem::path uds = "/var/run/ztunnel/ztunnel.sock";
//     std::chrono::milliseconds grace = 5s;
//   };
//   Settings values;
//   settings::Table table("culvert-node", "prepares this node's pods and hands them to ztunnel");
//   table.add(values.node_name, {.env = "NODE_NAME", .flag = "--node-name", .doc = "the node that we run on", .required = true});
//   table.add(values.uds, {.env = "ZTUNNEL_UDS_ADDRESS", .doc = "socket that ztunnel connects to"});
//   if (const auto exit_code = table.read(argc, argv)) return *exit_code;
//
// A flag wins over the environment, the environment over the default; an empty environment variable counts as unset.
// Rows refer to the caller's fields: the table must not outlive them. Not thread-safe; parse before threads start.

#include <chrono>
#include <concepts>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "common/base/result.h"

namespace culvert {
class IpAddress;
struct Endpoint;
struct Cidr;
}  // namespace culvert

namespace culvert::settings {

// A number of bytes: "65536", "64KiB" or "64Ki" (1024), "64KB" or "64k" (1000); up to G.
struct Bytes {
  std::uint64_t count = 0;
  friend auto operator<=>(const Bytes&, const Bytes&) = default;
};

// "10s", "5m", "1h30m", "250ms", "1.5s", "2d", "0": as Go writes durations, and days.
Result<std::chrono::nanoseconds> parse_duration(std::string_view text);
std::string print_duration(std::chrono::nanoseconds value);
Result<Bytes> parse_bytes(std::string_view text);
std::string print_bytes(Bytes value);
Result<bool> parse_bool(std::string_view text);  // true false 1 0 yes no on off
Result<std::int64_t> parse_integer(std::string_view text, std::int64_t min, std::int64_t max);
Result<std::uint64_t> parse_unsigned(std::string_view text, std::uint64_t max);
Result<double> parse_number(std::string_view text);

// How a type is written: parse, print, kUnit. Specialise it for types of one's own; words of an enum: Table::choice.
template <class T>
struct Value;

// One row of the table.
struct Row {
  std::string_view env = {};   // "NODE_NAME": the name of the setting everywhere; empty only for a pure flag
  std::string_view flag = {};  // "--node-name", or empty
  std::string_view unit = {};  // empty: the type's own ("duration", "bytes", "path", ...)
  std::string_view doc = {};   // one sentence, no full stop at the end
  bool required = false;       // unset or empty is an error
  bool secret = false;         // its value is never printed
  bool may_be_empty = false;   // an empty variable is a value; elsewhere it counts as unset
};

enum class Source : std::uint8_t { kDefault, kEnvironment, kFlag };
std::string_view name(Source source);

// A row as shown to people and machines (the admin page makes JSON of it).
struct Shown {
  std::string name;  // the environment variable, or the flag where there is none
  std::string flag;
  std::string value;
  std::string fallback;  // the default
  std::string unit;
  std::string doc;
  Source source = Source::kDefault;
};

// The environment of this process, for Table::parse and the like.
std::optional<std::string> of_process(std::string_view env);

class Table {
 public:
  // `program` and `about` head --help: "culvert-node: prepares this node's pods".
  Table(std::string_view program, std::string_view about) : program_(program), about_(about) {}

  // The field's value now is the default. `check` sees a parsed value and may refuse it.
  template <class T>
  void add(T& field, const Row& row, std::function<Status(const T&)> check = {}) {
    auto parse = [&field, check = std::move(check)](std::string_view text) -> Status {
      auto value = Value<T>::parse(text);
      if (!value) return std::unexpected(std::move(value).error());
      if (check) {
        if (auto verdict = check(*value); !verdict) return verdict;
      }
      field = *std::move(value);
      return {};
    };
    add_row(row, Value<T>::kUnit, std::is_same_v<T, bool>, std::move(parse), [&field] { return Value<T>::print(field); });
  }

  // A field that takes one of a few words: choice(field, row, {{"encrypt", Local::kEncrypt}, {"direct", Local::kDirect}}).
  template <class T>
  void choice(T& field, const Row& row, std::vector<std::pair<std::string_view, T>> words) {
    auto unit = words_of(words, " | ");
    auto parse = [&field, words](std::string_view text) -> Status {
      for (const auto& [word, value] : words) {
        if (word == text) return field = value, Status{};
      }
      return failure("must be one of " + words_of(words, ", "));
    };
    auto print = [&field, words = std::move(words)] {
      for (const auto& [word, value] : words) {
        if (value == field) return std::string(word);
      }
      return std::string();
    };
    add_row(row, unit, false, std::move(parse), std::move(print));
  }

  // Lets words that are no flags through, into `words`; without this they are errors. `name` is their name in --help ("DIR").
  void arguments(std::vector<std::string>& words, std::string_view name);

  // The whole start of a program: --help, --version and --settings-markdown print and yield 0, an error prints one line and
  // yields 1; otherwise fills the fields and yields nothing. Reads the process's environment.
  std::optional<int> read(int argc, const char* const* argv);

  // The same without printing. Fails naming the setting, its value and the reason.
  using Lookup = std::function<std::optional<std::string>(std::string_view env)>;
  Status parse(std::span<const char* const> words, const Lookup& environment);

  std::string help() const;
  std::string markdown() const;
  std::vector<Shown> shown() const;  // values in force
  std::string_view program() const { return program_; }

 private:
  struct Entry {
    std::string env, flag, unit, doc, fallback;
    bool required = false, secret = false, may_be_empty = false, is_bool = false;
    Source source = Source::kDefault;
    std::function<Status(std::string_view)> parse;
    std::function<std::string()> print;
    std::string name() const { return env.empty() ? flag : env; }
  };
  template <class T>
  static std::string words_of(const std::vector<std::pair<std::string_view, T>>& words, std::string_view separator) {
    std::string text;
    for (const auto& [word, value] : words) text.append(text.empty() ? "" : separator).append(word);
    return text;
  }
  void add_row(const Row& row, std::string_view unit, bool is_bool, std::function<Status(std::string_view)> parse,
               std::function<std::string()> print);
  Status parse_environment(const Lookup& environment);
  Status parse_words(std::span<const char* const> words);
  Entry* find_flag(std::string_view flag);

  std::string program_, about_;
  std::vector<Entry> entries_;
  std::vector<std::string>* arguments_ = nullptr;
  std::string arguments_name_;
};

// --- how the common types are written ---

template <>
struct Value<bool> {
  static constexpr std::string_view kUnit = "bool";
  static Result<bool> parse(std::string_view text) { return parse_bool(text); }
  static std::string print(bool value) { return value ? "true" : "false"; }
};

template <std::integral T>
  requires(!std::is_same_v<T, bool>)
struct Value<T> {
  static constexpr std::string_view kUnit = "number";
  static Result<T> parse(std::string_view text) {
    using Limits = std::numeric_limits<T>;
    const auto cast = [](auto value) { return static_cast<T>(value); };
    if constexpr (std::is_signed_v<T>) {
      return parse_integer(text, Limits::min(), Limits::max()).transform(cast);
    } else {
      return parse_unsigned(text, Limits::max()).transform(cast);
    }
  }
  static std::string print(T value) { return std::to_string(value); }
};

template <>
struct Value<double> {
  static constexpr std::string_view kUnit = "number";
  static Result<double> parse(std::string_view text) { return parse_number(text); }
  static std::string print(double value);
};

template <>
struct Value<std::string> {
  static constexpr std::string_view kUnit = "text";
  static Result<std::string> parse(std::string_view text) { return std::string(text); }
  static std::string print(const std::string& value) { return value; }
};

template <>
struct Value<std::filesystem::path> {
  static constexpr std::string_view kUnit = "path";
  static Result<std::filesystem::path> parse(std::string_view text) { return std::filesystem::path(text); }
  static std::string print(const std::filesystem::path& value) { return value.string(); }
};

template <class Rep, class Period>
struct Value<std::chrono::duration<Rep, Period>> {
  using Duration = std::chrono::duration<Rep, Period>;
  static constexpr std::string_view kUnit = "duration";
  static Result<Duration> parse(std::string_view text) {
    const auto exact = parse_duration(text);
    if (!exact) return std::unexpected(exact.error());
    const auto value = std::chrono::duration_cast<Duration>(*exact);
    if (value != *exact) return failure("finer than " + print(Duration(1)));
    return value;
  }
  static std::string print(Duration value) { return print_duration(value); }
};

template <>
struct Value<Bytes> {
  static constexpr std::string_view kUnit = "bytes";
  static Result<Bytes> parse(std::string_view text) { return parse_bytes(text); }
  static std::string print(Bytes value) { return print_bytes(value); }
};

template <class T>
  requires(std::is_same_v<T, IpAddress> || std::is_same_v<T, Endpoint> || std::is_same_v<T, Cidr>)
struct Value<T> {
  static constexpr std::string_view kUnit = std::is_same_v<T, IpAddress>  ? "IP address"
                                            : std::is_same_v<T, Endpoint> ? "address:port"
                                                                          : "prefix";
  static Result<T> parse(std::string_view text) { return T::parse(text); }
  static std::string print(const T& value) { return value == T{} ? std::string() : value.text(); }
};

// Comma-separated; empty items are left out.
template <class T>
struct Value<std::vector<T>> {
  static constexpr std::string_view kUnit = "comma-separated";
  static Result<std::vector<T>> parse(std::string_view text) {
    std::vector<T> values;
    while (!text.empty()) {
      const auto comma = text.find(',');
      const auto item = text.substr(0, comma);
      text = comma == text.npos ? std::string_view() : text.substr(comma + 1);
      if (item.empty()) continue;
      auto value = Value<T>::parse(item);
      if (!value) return std::unexpected(std::move(value).error());
      values.push_back(*std::move(value));
    }
    return values;
  }
  static std::string print(const std::vector<T>& values) {
    std::string text;
    for (const auto& value : values) text.append(text.empty() ? "" : ",").append(Value<T>::print(value));
    return text;
  }
};

// Nothing unless set.
template <class T>
struct Value<std::optional<T>> {
  static constexpr std::string_view kUnit = Value<T>::kUnit;
  static Result<std::optional<T>> parse(std::string_view text) {
    return Value<T>::parse(text).transform([](T value) { return std::optional<T>(std::move(value)); });
  }
  static std::string print(const std::optional<T>& value) { return value ? Value<T>::print(*value) : std::string(); }
};

}  // namespace culvert::settings
