#pragma once
// What a look at a cluster has found, and how it is printed: `culvert precheck`, `culvert verify-install`. Pure.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace culvert::cli {

enum class Level : std::uint8_t { kOk, kInfo, kWarning, kError };
std::string_view name(Level level);  // "ok", "info", "warning", "error"

struct Finding {
  std::string_view code;  // "CVT0201", one for each question that is asked
  Level level = Level::kOk;
  std::string where = {};   // "node1"; "cluster"
  std::string text = {};    // what is so
  std::string advice = {};  // what to do; empty when nothing has to be done
};

// A table for people, one line for all places where the same was found; what to do stands below:
//   LEVEL    CODE     WHERE           WHAT
//   error    CVT0201  node1, node2    Linux 5.10 is too old
//                                     -> boot 5.17 or newer
std::string to_table(const std::vector<Finding>& findings);
// {"findings":[{"code":...,"level":...,"where":...,"message":...,"advice":...}],"errors":1,"warnings":0}
std::string to_json(const std::vector<Finding>& findings);

std::size_t count(const std::vector<Finding>& findings, Level level);

}  // namespace culvert::cli
