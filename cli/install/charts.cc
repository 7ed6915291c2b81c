#include "cli/install/charts.h"

#include <algorithm>
#include <fstream>
#include <optional>
#include <utility>

#include "common/base/format.h"

namespace culvert::cli::install {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kName = "culvert";

// A line "KEY: value" of a Chart.yaml, at its beginning: that file is ours.
std::string value_of(const fs::path& file, std::string_view key) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with(key) && line.size() > key.size() + 1 && line[key.size()] == ':') return line.substr(key.size() + 2);
  }
  return "";
}

std::optional<Chart> as_chart(const fs::path& path) {
  std::error_code ignored;
  if (fs::is_regular_file(path, ignored) && path.extension() == ".tgz") {
    const std::string stem = path.stem().string();
    if (stem.starts_with(std::string(kName) + "-")) return Chart{path, stem.substr(kName.size() + 1)};
  }
  if (value_of(path / "Chart.yaml", "name") == kName) return Chart{path, value_of(path / "Chart.yaml", "version")};
  return std::nullopt;
}

// In a folder that holds charts: the folder of ours, else the newest archive by name.
std::optional<Chart> in_folder(const fs::path& folder) {
  if (auto chart = as_chart(folder / kName)) return chart;
  std::vector<Chart> archives;
  std::error_code error;
  for (fs::directory_iterator each(folder, error), end; !error && each != end; each.increment(error)) {
    if (auto chart = as_chart(each->path()); chart && chart->packed()) archives.push_back(*std::move(chart));
  }
  if (archives.empty()) return std::nullopt;
  return *std::ranges::max_element(archives, {}, &Chart::version);
}

std::optional<Chart> chart_at(const fs::path& place) {
  auto chart = as_chart(place);
  return chart ? std::move(chart) : in_folder(place);
}

}  // namespace

std::vector<fs::path> usual_places(const fs::path& program) {
  const fs::path folder = program.parent_path();
  return {folder / "charts", folder.parent_path() / "charts", folder.parent_path() / "share/culvert/charts",
          "/usr/share/culvert/charts"};
}

Result<Chart> find_chart(const fs::path& named, const std::vector<fs::path>& usual) {
  if (!named.empty()) {
    if (auto chart = chart_at(named)) return *std::move(chart);
    return failure(culvert::format(
        "--charts {}: there is no chart `culvert` (give its folder, its archive culvert-VERSION.tgz, or the folder "
        "that they are in)",
        named.string()));
  }
  std::string looked;
  for (const fs::path& place : usual) {
    if (auto chart = chart_at(place)) return *std::move(chart);
    if (!looked.contains(place.string() + ",")) looked += (looked.empty() ? "" : " ") + place.string() + ",";
  }
  looked.pop_back();
  return failure(culvert::format("looking for the chart `culvert` in {}: it is not there (say where: --charts DIR)", looked));
}

Result<fs::path> profile_of(const Chart& chart, const std::string& profile) {
  if (chart.packed())
    return failure(
        culvert::format("--profile {}: profiles are files of the chart, and {} is an archive (unpack it: `tar -xzf {}`, and say "
                        "--charts culvert)",
                        profile, chart.path.string(), chart.path.string()));
  fs::path file = chart.path / "profiles" / (profile + ".yaml");
  std::error_code error;
  if (!profile.contains('/') && fs::is_regular_file(file, error)) return file;
  std::vector<std::string> known;
  for (fs::directory_iterator each(chart.path / "profiles", error), end; !error && each != end; each.increment(error))
    known.push_back(each->path().stem().string());
  std::ranges::sort(known);
  std::string all;
  for (const std::string& name : known) all += (all.empty() ? "" : ", ") + name;
  return failure(
      culvert::format("--profile {}: there is no such profile in {} (there are {})", profile, chart.path.string(), all));
}

}  // namespace culvert::cli::install
