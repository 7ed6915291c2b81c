#include "cli/install/progress.h"

#include <cstdio>
#include <utility>

#include "cli/objects/objects.h"
#include "common/base/format.h"

namespace culvert::cli::install {
namespace {

namespace json = boost::json;

const kube::Collection kDaemonSets{.group = "apps", .plural = "daemonsets"};

void add(std::string& line, const json::value& object, std::int64_t ready, std::int64_t wanted) {
  line += culvert::format("{}{} {}/{}", line.empty() ? "" : ", ", text_at(object, "/metadata/name"), ready, wanted);
}

net::Task<std::string> look_once(kube::Client& client, Release release) {
  const kube::Query ours{{"labelSelector", "app.kubernetes.io/instance=" + release.name}};
  const auto deployments = co_await find_all(client, {.of = kDeployments, .ns = release.cluster.system_namespace}, ours);
  const auto daemon_sets = co_await find_all(client, {.of = kDaemonSets, .ns = release.cluster.system_namespace}, ours);
  if (!deployments || !daemon_sets) co_return std::string();
  co_return progress_of(*deployments, *daemon_sets);
}

}  // namespace

std::string progress_of(const json::array& deployments, const json::array& daemon_sets) {
  std::string line;
  for (const json::value& each : deployments)
    add(line, each, number_at(each, "/status/availableReplicas"), number_at(each, "/spec/replicas"));
  for (const json::value& each : daemon_sets)
    add(line, each, number_at(each, "/status/numberAvailable"), number_at(each, "/status/desiredNumberScheduled"));
  return line;
}

struct Progress::State {
  explicit State(Release its) : release(std::move(its)), cluster(Cluster::open(loop, release.cluster)) {}
  net::Loop loop;
  Release release;
  Result<Cluster> cluster;
  std::string said;
};

Progress::Progress(const Release& release) {
  auto state = std::make_unique<State>(release);
  if (state->cluster) state_ = std::move(state);
}
Progress::~Progress() = default;

void Progress::look() {
  if (!state_) return;
  std::string line = state_->loop.run(look_once(state_->cluster->client(), state_->release));
  if (line.empty() || line == state_->said) return;
  std::fprintf(stderr, "  %s\n", line.c_str());
  state_->said = std::move(line);
}

}  // namespace culvert::cli::install
