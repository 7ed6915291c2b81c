#include "cli/findings/findings.h"

#include <algorithm>
#include <boost/json.hpp>

#include "common/base/format.h"

namespace culvert::cli {
namespace {

constexpr std::size_t kMostNamed = 4;  // places in one line

struct Row {
  Finding finding;
  std::vector<std::string> places;

  std::string where() const {
    std::string out;
    for (std::size_t i = 0; i < places.size() && i < kMostNamed; ++i) out += (i == 0 ? "" : ", ") + places[i];
    return places.size() > kMostNamed ? culvert::format("{} and {} more", out, places.size() - kMostNamed) : out;
  }
};

// The same finding in many places is one row; rows are in the order of their codes, as they came within one.
std::vector<Row> rows_of(const std::vector<Finding>& findings) {
  std::vector<Row> rows;
  for (const Finding& one : findings) {
    const auto same = std::ranges::find_if(rows, [&](const Row& row) {
      return row.finding.code == one.code && row.finding.level == one.level && row.finding.text == one.text &&
             row.finding.advice == one.advice;
    });
    if (same == rows.end()) rows.push_back({one, {one.where}});
    else same->places.push_back(one.where);
  }
  std::ranges::stable_sort(rows, {}, [](const Row& row) { return row.finding.code; });
  return rows;
}

}  // namespace

std::string_view name(Level level) {
  switch (level) {
    case Level::kOk: return "ok";
    case Level::kInfo: return "info";
    case Level::kWarning: return "warning";
    case Level::kError: return "error";
  }
  return "?";
}

std::string to_table(const std::vector<Finding>& findings) {
  const std::vector<Row> rows = rows_of(findings);
  std::size_t width = 5;
  for (const Row& row : rows) width = std::max(width, row.where().size());
  std::string out = culvert::format("{:<8} {:<8} {:<{}} {}\n", "LEVEL", "CODE", "WHERE", width, "WHAT");
  for (const Row& row : rows) {
    out += culvert::format("{:<8} {:<8} {:<{}} {}\n", name(row.finding.level), row.finding.code, row.where(), width,
                           row.finding.text);
    if (!row.finding.advice.empty()) out += culvert::format("{:<{}} -> {}\n", "", 18 + width, row.finding.advice);
  }
  return out;
}

std::string to_json(const std::vector<Finding>& findings) {
  boost::json::array all;
  for (const Finding& one : findings)
    all.push_back(
        {{"code", one.code}, {"level", name(one.level)}, {"where", one.where}, {"message", one.text}, {"advice", one.advice}});
  return boost::json::serialize(boost::json::object{{"findings", std::move(all)},
                                                    {"errors", count(findings, Level::kError)},
                                                    {"warnings", count(findings, Level::kWarning)}}) +
         "\n";
}

std::size_t count(const std::vector<Finding>& findings, Level level) {
  return static_cast<std::size_t>(std::ranges::count(findings, level, &Finding::level));
}

}  // namespace culvert::cli
