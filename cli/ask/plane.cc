#include "cli/ask/plane.h"

#include <utility>

namespace culvert::cli {
namespace {

Result<std::vector<Plane>> of_urls(const PlaneOptions& options) {
  std::string token;
  if (!options.token_file.empty()) {
    auto read = read_token(options.token_file);
    if (!read) return std::unexpected(std::move(read).error());
    token = std::move(*read);
  }
  std::vector<Plane> out;
  for (const std::string& url : options.urls) {
    auto target = Target::parse(url);
    if (!target) return std::unexpected(std::move(target).error());
    target->token = token;
    std::string name = target->text();
    out.push_back({std::move(*target), std::move(name)});
  }
  return out;
}

}  // namespace

Result<std::vector<Plane>> planes_of(net::Loop& loop, const PlaneOptions& options) {
  if (!options.urls.empty()) return of_urls(options);
  std::vector<Plane> out;
  if (!options.world.empty()) {
    auto target = target_of_world(options.world);
    if (!target) return std::unexpected(std::move(target).error());
    out.push_back({std::move(*target), "culvertd of world " + options.world});
    return out;
  }
  auto cluster = Cluster::open(loop, options.cluster);
  if (!cluster) return std::unexpected(std::move(cluster).error());
  auto pods = loop.run(cluster->control_plane());
  if (!pods) return std::unexpected(std::move(pods).error());
  for (const Pod& pod : *pods) out.push_back({cluster->target(pod, kControlPlaneDebugPort), pod.key.name + "." + pod.key.ns});
  return out;
}

}  // namespace culvert::cli
