#include "cni/agent/kube_cluster.h"

#include <utility>

#include "cni/agent/enrol.h"
#include "cni/agent/scope.h"
#include "common/base/format.h"
#include "common/base/log.h"
#include "common/config/parse.h"
#include "common/kube/request.h"
#include "common/net/timer.h"

namespace culvert::agent {
namespace {

constexpr std::size_t kMostSaid = 4096;  // several times a node's pods; to forget costs a patch that changes nothing

const kube::Collection& pods() {
  static const kube::Collection collection{.plural = "pods"};
  return collection;
}

}  // namespace

KubeCluster::KubeCluster(kube::Client& client, KubeClusterOptions options, telemetry::Registry& registry)
    : client_(client), options_(std::move(options)), events_(client, options_.node, registry), sent_(client.loop()) {}

// What the pod shows may be older than what we have patched.
bool KubeCluster::says(const config::Pod& pod, Redirection redirection) const {
  const auto said = said_.find(pod.metadata.uid);
  return config::value_of(pod.metadata.annotations, kRedirection) == name(redirection) &&
         (said == said_.end() || said->second == redirection);
}

net::Task<Status> KubeCluster::say(std::shared_ptr<const config::Pod> pod, Redirection redirection) {
  const auto uid = pod->metadata.uid;
  if (says(*pod, redirection)) {
    waiting_.erase(uid);
    co_return Status{};
  }
  if (redirection == Redirection::kPending) {
    waiting_[uid] = ++turns_;
    client_.loop().spawn(say_later(std::move(pod), turns_));
    co_return Status{};
  }
  waiting_.erase(uid);
  while (sending_.contains(uid)) co_await sent_.wait();  // a "pending" that is on its way must not arrive after us
  co_return co_await patch(std::move(pod), redirection);
}

net::Task<> KubeCluster::say_later(std::shared_ptr<const config::Pod> pod, std::uint64_t turn) {
  co_await net::sleep_for(client_.loop(), options_.pending);
  const auto waits = [&] {
    const auto found = waiting_.find(pod->metadata.uid);
    return found != waiting_.end() && found->second == turn;
  };
  if (!waits()) co_return;
  waiting_.erase(pod->metadata.uid);
  sending_.insert(pod->metadata.uid);
  if (auto said = co_await patch(pod, Redirection::kPending); !said) log::warn(scope::kKube, said.error().text);
  sending_.erase(pod->metadata.uid);
  sent_.notify_all();
}

// The uid in the patch is a condition: a pod that was made anew under the name is left alone.
net::Task<Status> KubeCluster::patch(std::shared_ptr<const config::Pod> pod, Redirection redirection) {
  const auto& meta = pod->metadata;
  const auto value = redirection == Redirection::kNone ? "null" : culvert::format("\"{}\"", name(redirection));
  const auto request =
      kube::merge({.of = pods(), .ns = meta.name_space, .name = meta.name, .subresource = "status"},
                  culvert::format(R"({{"metadata":{{"uid":"{}","annotations":{{"{}":{}}}}}}})", meta.uid, kRedirection, value));
  const auto answer = co_await client_.exchange(request);
  if (!answer) co_return std::unexpected(answer.error());
  if (said_.size() >= kMostSaid) said_.clear();
  said_[meta.uid] = redirection;
  if (kube::is_success(answer->status) || answer->status == kube::kNotFound || answer->status == kube::kConflict)
    co_return Status{};
  co_return std::unexpected(kube::refusal(request, answer->status, answer->body));
}

net::Task<Result<Fresh>> KubeCluster::look(std::string name_space, std::string pod) {
  auto space = co_await get({.of = {.plural = "namespaces"}, .name = name_space});
  if (!space) co_return std::unexpected(space.error());
  auto object = co_await get({.of = pods(), .ns = name_space, .name = pod});
  if (!object) co_return std::unexpected(object.error());
  co_return Fresh{.pod = as<config::Pod>(*object), .name_space = as<config::Namespace>(*space)};
}

net::Task<Result<config::ObjectPtr>> KubeCluster::get(kube::Place at) {
  auto request = kube::get(std::move(at));
  request.timeout = options_.patience;
  const auto answer = co_await client_.exchange(request);
  if (!answer) co_return std::unexpected(answer.error());
  if (answer->status == kube::kNotFound) co_return config::ObjectPtr();
  if (!kube::is_success(answer->status)) co_return std::unexpected(kube::refusal(request, answer->status, answer->body));
  auto parsed = config::parse_json("kubernetes", answer->body);
  if (parsed.objects.size() != 1) co_return failure(request.text() + ": the answer cannot be read");
  co_return std::move(parsed.objects.front().object);
}

}  // namespace culvert::agent
