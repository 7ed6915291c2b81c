#include "common/base/settings.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>

#include "common/base/check.h"
#include "common/base/format.h"
#include "common/base/version.h"

namespace culvert::settings {
namespace {

using std::chrono::nanoseconds;

struct Unit {
  std::string_view name;
  double size;
};
// Longest names of a family first: "ms" is found before "m".
constexpr Unit kTimes[] = {{"ns", 1},  {"us", 1e3}, {"µs", 1e3},   {"ms", 1e6},
                           {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}, {"d", 86400e9}};
constexpr Unit kSizes[] = {
    {"KiB", 1024.0}, {"Ki", 1024.0},        {"KB", 1e3},          {"k", 1e3},  {"MiB", 1048576.0}, {"Mi", 1048576.0}, {"MB", 1e6},
    {"M", 1e6},      {"GiB", 1073741824.0}, {"Gi", 1073741824.0}, {"GB", 1e9}, {"G", 1e9},         {"B", 1}};

constexpr bool may_be_number(char c) { return (c >= '0' && c <= '9') || c == '.'; }

const Unit* find_unit(std::span<const Unit> units, std::string_view name) {
  const auto found = std::ranges::find(units, name, &Unit::name);
  return found == units.end() ? nullptr : &*found;
}

// Takes "1.5" off the front of `text`.
Result<double> take_number(std::string_view& text) {
  double value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  if (problem != std::errc() || text.front() == '-') return failure("does not begin with a number");
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

// Pads to a column, never cutting.
std::string column(std::string text, std::size_t width) {
  text.resize(std::max(text.size() + 2, width), ' ');
  return text;
}

std::string markdown_cell(std::string text) {
  for (std::size_t at = 0; (at = text.find('|', at)) != text.npos; at += 2) text.insert(at, "\\");
  return text;
}

}  // namespace

Result<nanoseconds> parse_duration(std::string_view text) {
  if (text == "0") return nanoseconds(0);
  if (text.empty()) return failure("empty duration (write 10s, 5m or 1h30m)");
  double total = 0;
  while (!text.empty()) {
    const auto number = take_number(text);
    if (!number) return failure(number.error().text + " (write 10s, 5m or 1h30m)");
    const auto end = std::ranges::find_if(text, may_be_number);
    const auto word = text.substr(0, static_cast<std::size_t>(end - text.begin()));
    const auto* unit = find_unit(kTimes, word);
    if (unit == nullptr) return failure(culvert::format("unknown unit of time \"{}\" (write 10s, 5m or 1h30m)", word));
    total += *number * unit->size;
    text.remove_prefix(word.size());
  }
  if (total > 9.2e18) return failure("too long");
  return nanoseconds(std::llround(total));
}

std::string print_duration(nanoseconds value) {
  if (value == nanoseconds(0)) return "0";
  std::string text = value < nanoseconds(0) ? "-" : "";
  auto rest = static_cast<std::uint64_t>(std::abs(value.count()));
  constexpr std::pair<std::string_view, std::uint64_t> kParts[] = {
      {"h", 3'600'000'000'000}, {"m", 60'000'000'000}, {"s", 1'000'000'000}, {"ms", 1'000'000}, {"us", 1'000}, {"ns", 1}};
  for (const auto& [unit, size] : kParts) {
    if (rest >= size) text += culvert::format("{}{}", rest / size, unit);
    rest %= size;
  }
  return text;
}

Result<Bytes> parse_bytes(std::string_view text) {
  if (text.empty()) return failure("empty size (write 65536 or 64KiB)");
  const auto number = take_number(text);
  if (!number) return failure(number.error().text + " (write 65536 or 64KiB)");
  const auto* unit = find_unit(kSizes, text.empty() ? "B" : text);
  if (unit == nullptr) return failure(culvert::format("unknown unit \"{}\" (write 65536 or 64KiB)", text));
  const double count = *number * unit->size;
  if (count >= 9.2e18) return failure("too large");
  if (count != std::floor(count)) return failure("is not a whole number of bytes");
  return Bytes{static_cast<std::uint64_t>(count)};
}

std::string print_bytes(Bytes value) {
  for (const auto* name : {"GiB", "MiB", "KiB"}) {
    const auto size = static_cast<std::uint64_t>(find_unit(kSizes, name)->size);
    if (value.count >= size && value.count % size == 0) return culvert::format("{}{}", value.count / size, name);
  }
  return culvert::format("{}", value.count);
}

Result<bool> parse_bool(std::string_view text) {
  constexpr std::string_view kTrue[] = {"true", "1", "yes", "on", "True", "TRUE"};
  constexpr std::string_view kFalse[] = {"false", "0", "no", "off", "False", "FALSE"};
  if (std::ranges::contains(kTrue, text)) return true;
  if (std::ranges::contains(kFalse, text)) return false;
  return failure("must be true or false");
}

Result<std::int64_t> parse_integer(std::string_view text, std::int64_t min, std::int64_t max) {
  std::int64_t value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem == std::errc::invalid_argument || end != text.data() + text.size()) return failure("is not a whole number");
  if (problem != std::errc() || value < min || value > max) return failure(culvert::format("must be from {} to {}", min, max));
  return value;
}

Result<std::uint64_t> parse_unsigned(std::string_view text, std::uint64_t max) {
  std::uint64_t value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem == std::errc::invalid_argument || end != text.data() + text.size()) return failure("is not a whole number");
  if (problem != std::errc() || value > max) return failure(culvert::format("must be from 0 to {}", max));
  return value;
}

Result<double> parse_number(std::string_view text) {
  double value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return failure("is not a number");
  return value;
}

std::string Value<double>::print(double value) { return culvert::format("{}", value); }

std::string_view name(Source source) {
  switch (source) {
    case Source::kDefault: return "default";
    case Source::kEnvironment: return "environment";
    case Source::kFlag: return "flag";
  }
  return "";
}

void Table::add_row(const Row& row, std::string_view unit, bool is_bool, std::function<Status(std::string_view)> parse,
                    std::function<std::string()> print) {
  CULVERT_CHECK(!row.env.empty() || !row.flag.empty());
  CULVERT_CHECK(row.flag.empty() || (row.flag.starts_with("--") && find_flag(row.flag) == nullptr));
  Entry& entry = entries_.emplace_back();
  entry.env = row.env;
  entry.flag = row.flag;
  entry.unit = row.unit.empty() ? unit : row.unit;
  entry.doc = row.doc;
  entry.required = row.required;
  entry.secret = row.secret;
  entry.may_be_empty = row.may_be_empty;
  entry.is_bool = is_bool;
  entry.fallback = print();
  entry.parse = std::move(parse);
  entry.print = std::move(print);
}

std::optional<std::string> of_process(std::string_view env) {
  const char* value = std::getenv(std::string(env).c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

void Table::arguments(std::vector<std::string>& words, std::string_view name) {
  arguments_ = &words;
  arguments_name_ = name;
}

Table::Entry* Table::find_flag(std::string_view flag) {
  const auto found = std::ranges::find(entries_, flag, &Entry::flag);
  return flag.empty() || found == entries_.end() ? nullptr : &*found;
}

namespace {

Status refused(std::string_view setting, std::string_view value, bool secret, const Error& why) {
  if (secret) return failure(culvert::format("{}: {}", setting, why.text));
  return failure(culvert::format("{}=\"{}\": {}", setting, value, why.text));
}

}  // namespace

Status Table::parse_environment(const Lookup& environment) {
  for (auto& entry : entries_) {
    if (entry.env.empty()) continue;
    const auto value = environment(entry.env);
    if (!value || (value->empty() && !entry.may_be_empty)) continue;
    if (auto parsed = entry.parse(*value); !parsed) return refused(entry.env, *value, entry.secret, parsed.error());
    entry.source = Source::kEnvironment;
  }
  return {};
}

Status Table::parse_words(std::span<const char* const> words) {
  for (std::size_t at = 0; at < words.size(); ++at) {
    const std::string_view word = words[at];
    if (!word.starts_with("--")) {
      if (arguments_ == nullptr) return failure(culvert::format("unexpected argument \"{}\" (--help lists what there is)", word));
      arguments_->emplace_back(word);
      continue;
    }
    const auto equals = word.find('=');
    const auto flag = word.substr(0, equals);
    auto* entry = find_flag(flag);
    if (entry == nullptr) return failure(culvert::format("unknown flag {} (--help lists what there is)", flag));
    std::string_view value;
    if (equals != word.npos) {
      value = word.substr(equals + 1);
    } else if (entry->is_bool) {
      value = "true";
    } else if (at + 1 < words.size()) {
      value = words[++at];
    } else {
      return failure(culvert::format("{} needs a value", flag));
    }
    if (auto parsed = entry->parse(value); !parsed) return refused(flag, value, entry->secret, parsed.error());
    entry->source = Source::kFlag;
  }
  return {};
}

Status Table::parse(std::span<const char* const> words, const Lookup& environment) {
  if (auto parsed = parse_environment(environment); !parsed) return parsed;
  if (auto parsed = parse_words(words); !parsed) return parsed;
  for (const auto& entry : entries_) {
    if (!entry.required || !entry.print().empty()) continue;
    const auto& other = !entry.env.empty() && !entry.flag.empty() ? " or " + entry.flag : std::string();
    return failure(culvert::format("{} is not set (set {}{}: {})", entry.name(), entry.name(), other, entry.doc));
  }
  return {};
}

std::optional<int> Table::read(int argc, const char* const* argv) {
  const std::span words(argv + 1, static_cast<std::size_t>(std::max(argc - 1, 0)));
  for (const std::string_view word : words) {
    if (word == "--help" || word == "-h") return std::fputs(help().c_str(), stdout), 0;
    if (word == "--version") return std::puts(culvert::format("{} {}", program_, version_text()).c_str()), 0;
    if (word == "--settings-markdown") return std::fputs(markdown().c_str(), stdout), 0;
  }
  const auto parsed = parse(words, of_process);
  if (parsed) return std::nullopt;
  std::fputs(culvert::format("{}: {}\n", program_, parsed.error().text).c_str(), stderr);
  return 1;
}

std::string Table::help() const {
  std::string text = culvert::format("{}: {}\n\nUsage: {} [--flag VALUE ...]{}{}\n\n", program_, about_, program_,
                                     arguments_name_.empty() ? "" : " ", arguments_name_);
  for (const auto& entry : entries_) {
    const auto names = entry.flag.empty() ? entry.env : entry.env.empty() ? entry.flag : entry.flag + ", " + entry.env;
    text += culvert::format("  {}{}\n      {}", column(names, 48), entry.unit, entry.doc);
    if (!entry.fallback.empty()) text += culvert::format(" (default {})", entry.fallback);
    if (entry.required) text += " (required)";
    text += '\n';
  }
  text +=
      "\n  --help  --version  --settings-markdown\n\nNames in capitals are environment variables; a flag wins over its "
      "variable.\n";
  return text;
}

std::string Table::markdown() const {
  std::string text = "| Setting | Flag | Default | Unit | Meaning |\n|---|---|---|---|---|\n";
  const auto code = [](const std::string& word) { return word.empty() ? std::string() : "`" + markdown_cell(word) + "`"; };
  for (const auto& entry : entries_) {
    text += culvert::format("| {} | {} | {} | {} | {}{} |\n", code(entry.env), code(entry.flag), code(entry.fallback),
                            markdown_cell(entry.unit), markdown_cell(entry.doc), entry.required ? " (required)" : "");
  }
  return text;
}

std::vector<Shown> Table::shown() const {
  std::vector<Shown> rows;
  for (const auto& entry : entries_) {
    const auto value = entry.print();
    rows.push_back({.name = entry.name(),
                    .flag = entry.flag,
                    .value = entry.secret && !value.empty() ? "(set)" : value,
                    .fallback = entry.secret && !entry.fallback.empty() ? "(set)" : entry.fallback,
                    .unit = entry.unit,
                    .doc = entry.doc,
                    .source = entry.source});
  }
  return rows;
}

}  // namespace culvert::settings
