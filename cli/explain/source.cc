#include "cli/explain/source.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <set>
#include <utility>

#include "cli/ask/page.h"
#include "cli/ask/plane.h"
#include "common/base/file.h"
#include "common/config/folder.h"
#include "common/derive/deriver.h"
#include "common/derive/discovery.h"
#include "common/dump/dump.h"

namespace culvert::cli {
namespace {

constexpr std::chrono::milliseconds kPatience{30'000};
constexpr const char* kDump = "/debug/config_dump";

Result<std::set<std::string>> names_in(const std::string& folder) {
  std::set<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (config::Folder::reads(name)) names.insert(name);
  }
  if (error) return failure("reading the folder " + folder + ": " + error.message());
  return names;
}

// As culvertd that reads the same folder.
derive::Settings settings_of(const MeshOptions& options) {
  return {.trust_domain = options.trust_domain,
          .cluster_domain = options.cluster_domain,
          .root_namespace = options.root_namespace,
          .dry_run_policies = true,
          .allocate_addresses = true};
}

// The chain of culvertd, once: files, objects, the model.
Result<KnownMesh> from_folder(const MeshOptions& options) {
  const auto names = names_in(options.config_dir);
  if (!names) return std::unexpected(names.error());
  KnownMesh out{.mesh = nullptr, .from = "folder " + options.config_dir};
  config::Folder folder;
  std::vector<config::Change> changes;
  const auto now = config::Folder::Time::clock::now();
  const auto status = std::filesystem::path(options.config_dir) / "status" / "pods";
  std::vector<std::string> all(names->begin(), names->end());
  if (const auto pods = names_in(status.string())) {
    for (const std::string& name : *pods) all.push_back("status/pods/" + name);
  }
  for (const std::string& name : all) {
    const auto text = read_input(options.config_dir + "/" + name);
    if (!text) return std::unexpected(text.error());
    config::Diff diff = folder.written(name, *text, now);
    for (const config::Problem& problem : diff.problems) out.problems.push_back(problem.text());
    for (config::Change& change : diff.changes) {
      if (config::is_policy(change.key.kind)) out.places[change.key.name_space + "/" + change.key.name] = change.place.text();
      changes.push_back(std::move(change));
    }
  }
  derive::Discovery discovery(settings_of(options));
  derive::Deriver deriver(settings_of(options));
  const std::vector<config::Key> keys = discovery.apply(changes);
  const derive::Delta derived = deriver.update(discovery.objects(), keys);
  model::MeshBuilder builder;
  for (const auto& [key, policy] : deriver.policies()) builder.upsert(policy);
  for (const auto& [key, service] : deriver.services()) builder.upsert(service);
  for (const model::WorkloadRef& workload : derived.workloads) builder.upsert(workload);
  out.mesh = builder.build();
  return out;
}

Result<KnownMesh> from_dump(const std::string& text, std::string from) {
  auto mesh = dump::read(text);
  if (!mesh) return std::unexpected(std::move(mesh).error().during(from));
  return KnownMesh{.mesh = std::move(*mesh), .from = std::move(from)};
}

Result<std::string> fetch(Target target, const std::string& path, const std::string& token_file) {
  if (!token_file.empty()) {
    auto token = read_token(token_file);
    if (!token) return std::unexpected(std::move(token).error());
    target.token = std::move(*token);
  }
  net::Loop loop;
  return loop.run(get_page(loop, std::move(target), path, kPatience));
}

Result<KnownMesh> from_culvertd(Result<Target> target, const std::string& token_file) {
  if (!target) return std::unexpected(std::move(target).error());
  const std::string from = "culvertd at " + target->text();
  const auto text = fetch(std::move(*target), kDump, token_file);
  if (!text) return std::unexpected(text.error());
  return from_dump(*text, from);
}

// Replicas know the same.
Result<KnownMesh> from_cluster(const ClusterFlags& cluster) {
  net::Loop loop;
  auto planes = planes_of(loop, {.cluster = cluster});
  if (!planes) return std::unexpected(std::move(planes).error());
  Plane& plane = planes->front();
  const auto text = loop.run(get_page(loop, std::move(plane.target), kDump, kPatience));
  if (!text) return std::unexpected(text.error());
  return from_dump(*text, "culvertd " + plane.name);
}

}  // namespace

Result<KnownMesh> read_mesh(const MeshOptions& options) {
  if (!options.config_dir.empty()) return from_folder(options);
  if (options.in_cluster) return from_cluster(options.cluster);
  if (!options.world.empty()) return from_culvertd(target_of_world(options.world), "");
  if (options.dump.empty())
    return from_culvertd(Target::parse(options.url.empty() ? "http://localhost:15014" : options.url), options.token_file);
  if (!options.dump.contains("://")) {
    const auto text = read_input(options.dump);
    if (!text) return std::unexpected(text.error());
    return from_dump(*text, "dump " + options.dump);
  }
  auto target = Target::parse(options.dump);
  if (!target) return std::unexpected(std::move(target).error());
  const std::string path = target->base.empty() ? "/config_dump" : std::exchange(target->base, "");
  const auto text = fetch(std::move(*target), path, options.token_file);
  if (!text) return std::unexpected(text.error());
  return from_dump(*text, "ztunnel at " + options.dump);
}

}  // namespace culvert::cli
