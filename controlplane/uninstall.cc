#include "controlplane/uninstall.h"

#include <boost/json.hpp>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "common/base/format.h"
#include "common/base/log.h"
#include "common/kube/access.h"
#include "common/kube/client.h"
#include "common/kube/lease.h"
#include "common/kube/object.h"
#include "common/kube/request.h"
#include "common/kube/traces.h"
#include "common/net/timer.h"
#include "controlplane/remains.h"

namespace culvert::controlplane {
namespace {

namespace json = boost::json;
using namespace std::chrono_literals;

constexpr std::string_view kScope = "uninstall";
constexpr int kTurns = 60;  // a second each: as long as one that was told to end may take

const kube::Collection kDaemonSets{.group = "apps", .plural = "daemonsets"};
const kube::Collection kDeployments{.group = "apps", .plural = "deployments"};
const kube::Collection kPods{.plural = "pods"};
const kube::Collection kNodes{.plural = "nodes"};
const kube::Collection kServices{.plural = "services"};
const kube::Collection kNamespaces{.plural = "namespaces"};

std::string name_of(const json::value& object) {
  boost::system::error_code error;
  const auto* name = object.find_pointer("/metadata/name", error);
  return name != nullptr && name->is_string() ? std::string(name->as_string()) : std::string();
}

std::string now() { return rfc3339(std::chrono::system_clock::now()); }

// Its body, or nothing when there is no such object.
net::Task<Result<std::string>> read(kube::Client& client, kube::Place at) {
  const auto request = kube::get(std::move(at));
  auto answer = co_await client.exchange(request);
  if (!answer) co_return std::unexpected(std::move(answer).error());
  if (answer->status == kube::kNotFound) co_return std::string();
  if (!kube::is_success(answer->status)) co_return std::unexpected(kube::refusal(request, answer->status, answer->body));
  co_return std::move(answer->body);
}

net::Task<Status> erase(kube::Client& client, kube::Place at, kube::Query query = {}) {
  auto request = kube::remove(std::move(at));
  request.query = std::move(query);
  const auto answer = co_await client.exchange(request);
  if (!answer) co_return std::unexpected(answer.error());
  if (answer->status != kube::kNotFound && !kube::is_success(answer->status))
    co_return std::unexpected(kube::refusal(request, answer->status, answer->body));
  if (answer->status != kube::kNotFound) log::info(kScope, request.text());
  co_return Status();
}

net::Task<Result<json::array>> items(kube::Client& client, kube::Place at, kube::Query query = {}) {
  const auto request = kube::list(std::move(at), std::move(query));
  const auto answer = co_await client.call(request);
  if (!answer) co_return std::unexpected(answer.error());
  boost::system::error_code error;
  const json::value value = json::parse(answer->body, error);
  const auto* found = error ? nullptr : value.find_pointer("/items", error);
  if (found == nullptr || !found->is_array()) co_return failure(request.text() + ": the answer is no list");
  co_return found->as_array();
}

net::Task<Result<AgentsLeft>> look_for_agents(kube::Client& client, std::string ns) {
  const auto pods = co_await items(client, {.of = kPods, .ns = std::move(ns)}, {{"labelSelector", "k8s-app=culvert-node"}});
  if (!pods) co_return std::unexpected(pods.error());
  const auto nodes = co_await items(client, {.of = kNodes});
  if (!nodes) co_return std::unexpected(nodes.error());
  co_return agents_left(*pods, *nodes, now());
}

void tell_of_lost(const std::vector<std::string>& nodes) {
  for (const std::string& node : nodes)
    log::warn(kScope,
              culvert::format("{}: the node is not ready, and its agent was left there. Remove the node; or, when it is back, "
                              "delete 00-culvert.conflist from its CNI configuration (/etc/cni/net.d) and reboot it: until "
                              "then its pods of the mesh have no connections, and none starts there",
                              node));
}

// The DaemonSet is the last to go: it is there until none of its pods is. What nobody can end is not waited for.
net::Task<Status> end_agents(kube::Client& client, std::string ns) {
  const kube::Place agents{.of = kDaemonSets, .ns = ns, .name = "culvert-node"};
  if (auto begun = co_await erase(client, agents, {{"propagationPolicy", "Foreground"}}); !begun) co_return begun;
  for (int turn = 0;; ++turn) {
    const auto there = co_await read(client, agents);
    if (there && there->empty()) break;
    const auto left = there ? co_await look_for_agents(client, ns) : std::unexpected(there.error());
    if (!left) log::warn(kScope, "asking again: " + left.error().text);
    if (left && left->awaited.empty() && !left->lost.empty()) {
      tell_of_lost(left->lost);
      co_return co_await erase(client, agents, {{"propagationPolicy", "Background"}});
    }
    if (left && turn % 10 == 0)
      log::info(kScope, culvert::format("waits for {} agents to take their pods out of the mesh", left->awaited.size()));
    co_await net::sleep_for(client.loop(), 1s);
  }
  log::info(kScope, "no agent is left");
  co_return Status();
}

net::Task<Status> erase_ours(kube::Client& client, kube::Place at) {
  const auto object = co_await read(client, at);
  if (!object) co_return std::unexpected(object.error());
  if (object->empty()) co_return Status();
  if (kube::is_managed_by(*object, "culvert")) co_return co_await erase(client, std::move(at));
  log::info(kScope, "left alone, since somebody else has written it: " + at.text());
  co_return Status();
}

// Whether one that is not a pod here, of a control plane outside of the cluster, keeps renewing the lease. Two looks are needed to see it.
struct LeaseWatch {
  kube::LeaseRecord seen = {};
  net::Clock::time_point since = net::Clock::now();
  bool renewed = false;

  net::Task<Result<bool>> is_held(kube::Client& client, std::string ns) {
    const auto object = co_await read(
        client, {.of = {.group = "coordination.k8s.io", .plural = "leases"}, .ns = std::move(ns), .name = "culvertd"});
    if (!object) co_return std::unexpected(object.error());
    if (object->empty()) co_return false;
    auto record = kube::read_lease(*object);
    if (!record) co_return std::unexpected(std::move(record).error());
    const auto time = net::Clock::now();
    if (record->resource_version != seen.resource_version) {
      renewed = !seen.resource_version.empty();
      since = time;
    }
    seen = std::move(*record);
    co_return !seen.holder.empty() && time - since < seen.duration;
  }
};

// What goes on without a Deployment.
Others add_unseen(Others others, const json::array& pods, const std::string& holder) {
  boost::system::error_code error;
  for (const json::value& pod : pods)
    if (pod.find_pointer("/metadata/deletionTimestamp", error) == nullptr) others.here.push_back("Pod " + name_of(pod));
  if (others.here.empty() && !holder.empty()) others.here.push_back(holder + ", which renews the lease");
  if (!others.here.empty())
    log::warn(kScope,
              culvert::format("a control plane goes on ({}): end it, and `culvert uninstall --purge` deletes what is left now",
                              others.text()));
  else if (!pods.empty()) log::warn(kScope, "culvertd has not ended, and may write again what is erased now");
  return others;
}

// Those that go on. One that is about to end would write again what we erase: it is waited for.
net::Task<Result<Others>> find_others(kube::Client& client, std::string ns) {
  LeaseWatch lease;
  for (int turn = 0;; ++turn) {
    const auto deployments = co_await items(client, {.of = kDeployments}, {{"labelSelector", "app=culvertd"}});
    if (!deployments) co_return std::unexpected(deployments.error());
    Others others = others_of(*deployments, ns);
    if (!others.here.empty()) co_return others;
    const auto pods = co_await items(client, {.of = kPods, .ns = ns}, {{"labelSelector", "app=culvertd"}});
    const auto held = co_await lease.is_held(client, ns);
    if (pods && pods->empty() && held && !*held) co_return others;
    if (!pods) log::warn(kScope, pods.error().text);
    if (!held) log::warn(kScope, held.error().text);
    if (turn == kTurns)
      co_return add_unseen(std::move(others), pods.value_or(json::array()),
                           held && *held && lease.renewed ? lease.seen.holder : "");
    co_await net::sleep_for(client.loop(), 1s);
  }
}

// Helm leaves the two alone, so that they can go over to another revision. Those that lead nowhere now go here.
net::Task<Status> erase_services(kube::Client& client, std::string ns, const Others& others) {
  for (const char* name : {"culvertd", "istiod"}) {
    const kube::Place at{.of = kServices, .ns = ns, .name = name};
    const auto object = co_await read(client, at);
    if (!object) co_return std::unexpected(object.error());
    boost::system::error_code error;
    const json::value service = object->empty() ? json::value() : json::parse(*object, error);
    if (object->empty() || kube::member_of(*object, {"metadata", "labels", "app.kubernetes.io/part-of"}) != "\"culvert\"" ||
        is_served(others, service))
      continue;
    if (auto done = co_await erase(client, at); !done) co_return done;
  }
  co_return Status();
}

// A registration that leads to no Service has every policy refused. Who goes on registers anew.
net::Task<Result<bool>> is_answered(kube::Client& client, kube::Place webhook) {
  const auto object = co_await read(client, std::move(webhook));
  if (!object) co_return std::unexpected(object.error());
  boost::system::error_code error;
  const json::value value = json::parse(*object, error);
  const auto text = [&](std::string_view pointer) {
    const auto* found = error ? nullptr : value.find_pointer(pointer, error);
    return found != nullptr && found->is_string() ? std::string(found->as_string()) : std::string();
  };
  const std::string ns = text("/webhooks/0/clientConfig/service/namespace"), name = text("/webhooks/0/clientConfig/service/name");
  if (name.empty()) co_return true;  // a URL, or there is none
  const auto service = co_await read(client, {.of = kServices, .ns = ns, .name = name});
  if (!service) co_return std::unexpected(service.error());
  co_return !service->empty();
}

net::Task<Status> erase_unless_needed(kube::Client& client, kube::Place at, const Others& others, std::string ns) {
  bool needed = is_needed(others, at, ns);
  if (needed && at.of.plural == "validatingwebhookconfigurations") {
    const auto answered = co_await is_answered(client, at);
    if (!answered) co_return std::unexpected(answered.error());
    needed = *answered;
  }
  if (needed) {
    log::info(kScope, culvert::format("left alone, since it is needed ({}): {}", others.text(), at.text()));
    co_return Status();
  }
  const bool ours_alone = at.name.starts_with("culvert");  // nobody else's name
  co_return co_await (ours_alone ? erase(client, at) : erase_ours(client, at));
}

// All of it is tried; the first failure is returned.
net::Task<Status> erase_traces(kube::Client& client, std::string ns) {
  const auto others = co_await find_others(client, ns);
  if (!others) co_return std::unexpected(others.error());
  Status all;
  const auto note = [&all](Status done) {
    if (!done) log::error(kScope, done.error().text);
    if (all && !done) all = std::move(done);
  };
  note(co_await erase_services(client, ns, *others));
  for (const kube::Place& each : kube::traces(ns)) note(co_await erase_unless_needed(client, each, *others, ns));
  if (others->any()) {
    log::info(kScope, "the root certificate stays in all namespaces: " + others->text());
    co_return all;
  }
  const auto namespaces = co_await items(client, {.of = kNamespaces});
  if (!namespaces) co_return std::unexpected(namespaces.error());
  for (const json::value& each : *namespaces) note(co_await erase_ours(client, kube::root_config_map(name_of(each))));
  co_return all;
}

}  // namespace

Status uninstall(const Settings& settings) {
  auto access = kube::Access::configured(settings.kubeconfig.string(), settings.context);
  if (!access) return std::unexpected(std::move(access).error());
  net::Loop loop;
  kube::Client client(loop, std::move(*access), {.user_agent = "culvertd"});
  const std::string& ns = settings.system_namespace;
  return loop.run(settings.uninstall == Uninstall::kAgents ? end_agents(client, ns) : erase_traces(client, ns));
}

}  // namespace culvert::controlplane
