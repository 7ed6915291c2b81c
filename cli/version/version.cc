#include "cli/version/version.h"

#include <boost/json.hpp>
#include <cstdio>
#include <set>
#include <utility>

#include "cli/print/json.h"
#include "cli/proxy_status/proxies.h"
#include "common/base/format.h"
#include "common/base/version.h"

namespace culvert::cli {
namespace {

namespace json = boost::json;

constexpr std::chrono::milliseconds kPatience{10'000};

std::string or_unknown(const std::string& version) { return version.empty() ? "unknown" : version; }

}  // namespace

net::Task<Status> ask_versions(net::Loop& loop, std::vector<Plane> planes, Versions& into) {
  for (const Plane& plane : planes) {
    const auto metrics = co_await get_page(loop, plane.target, "/metrics", kPatience);
    if (!metrics) co_return std::unexpected(metrics.error());
    into.planes.emplace_back(plane.name, version_in(*metrics));
    const auto syncz = co_await get_page(loop, plane.target, "/debug/syncz", kPatience);
    if (!syncz) co_return std::unexpected(syncz.error());
    const auto proxies = read_proxies(plane.name, *syncz);
    if (!proxies) co_return std::unexpected(proxies.error());
    for (const Proxy& proxy : *proxies) ++into.proxies[proxy.version];
  }
  into.asked = true;
  co_return Status();
}

namespace {

Status ask_mesh(const PlaneOptions& options, Versions& into) {
  net::Loop loop;
  auto planes = planes_of(loop, options);
  if (!planes) return std::unexpected(std::move(planes).error());
  return loop.run(ask_versions(loop, std::move(*planes), into));
}

}  // namespace

std::string version_in(std::string_view metrics) {
  constexpr std::string_view kMetric = "\npilot_info{", kLabel = "version=\"";
  const auto metric = metrics.find(kMetric);
  if (metric == metrics.npos) return "";
  const std::string_view line = metrics.substr(metric + 1, metrics.find('\n', metric + 1) - metric - 1);
  const auto label = line.find(kLabel);
  if (label == line.npos) return "";
  const std::string_view rest = line.substr(label + kLabel.size());
  return std::string(rest.substr(0, rest.find('"')));
}

std::string text_of(const Versions& versions, bool brief) {
  std::string out = brief || versions.commit.empty()
                        ? culvert::format("client version: {}\n", versions.client)
                        : culvert::format("client version: {} ({})\n", versions.client, versions.commit);
  if (!versions.asked) return brief ? versions.client + "\n" : out;
  std::set<std::string> different;
  for (const auto& [name, version] : versions.planes) different.insert(version);
  if (brief && different.size() == 1) {
    out += culvert::format("control plane version: {}\n", or_unknown(*different.begin()));
  } else {
    for (const auto& [name, version] : versions.planes) out += culvert::format("{} version: {}\n", name, or_unknown(version));
  }
  std::string proxies;
  for (const auto& [version, count] : versions.proxies)
    proxies += culvert::format("{}{} ({} {})", proxies.empty() ? "" : ", ", or_unknown(version), count,
                               count == 1 ? "proxy" : "proxies");
  return out + (proxies.empty() ? "data plane version: none\n" : "data plane version: " + proxies + "\n");
}

std::string json_of(const Versions& versions, VersionOptions::Form form) {
  json::object out{{"clientVersion", json::object{{"version", versions.client}, {"revision", versions.commit}}}};
  json::array planes, proxies;
  for (const auto& [name, version] : versions.planes)
    planes.push_back(json::object{{"component", name}, {"info", json::object{{"version", version}}}});
  for (const auto& [version, count] : versions.proxies) proxies.push_back(json::object{{"version", version}, {"proxies", count}});
  if (versions.asked) {
    out["meshVersion"] = std::move(planes);
    out["dataPlaneVersion"] = std::move(proxies);
  }
  return form == VersionOptions::Form::kYaml ? print::yaml(out) : print::pretty(out);
}

int version(const VersionOptions& options) {
  Versions versions{.client = std::string(kVersion), .commit = std::string(commit())};
  Status asked;
  if (options.remote.value_or(true)) asked = ask_mesh(options.planes, versions);
  const std::string out =
      options.form == VersionOptions::Form::kText ? text_of(versions, options.brief) : json_of(versions, options.form);
  std::fputs(out.c_str(), stdout);
  if (asked) return 0;
  const bool insisted = options.remote.has_value();
  std::fprintf(stderr, "culvert: the mesh could not be asked for its versions: %s%s\n", asked.error().text.c_str(),
               insisted ? "" : " (--remote=false does not ask)");
  return insisted ? 1 : 0;
}

}  // namespace culvert::cli
