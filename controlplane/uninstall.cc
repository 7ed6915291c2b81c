#include "controlplane/uninstall.h"

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "common/base/log.h"
#include "common/kube/access.h"
#include "common/kube/client.h"
#include "common/kube/object.h"
#include "common/kube/traces.h"
#include "common/net/timer.h"
#include "controlplane/kubernetes.h"

namespace culvert::controlplane {
namespace {

namespace json = boost::json;
using namespace std::chrono_literals;

constexpr std::string_view kScope = "uninstall";
constexpr int kNotFound = 404;

const kube::Collection kDaemonSets{.group = "apps", .plural = "daemonsets"};
const kube::Collection kPods{.plural = "pods"};
const kube::Collection kNamespaces{.plural = "namespaces"};

// Its body, or nothing when there is no such object.
net::Task<Result<std::string>> read(kube::Client& client, kube::Place at) {
  const auto request = kube::get(std::move(at));
  auto answer = co_await client.exchange(request);
  if (!answer) co_return std::unexpected(std::move(answer).error());
  if (answer->status == kNotFound) co_return std::string();
  if (!kube::is_success(answer->status)) co_return std::unexpected(kube::refusal(request, answer->status, answer->body));
  co_return std::move(answer->body);
}

net::Task<Status> erase(kube::Client& client, kube::Place at, kube::Query query = {}) {
  auto request = kube::remove(std::move(at));
  request.query = std::move(query);
  const auto answer = co_await client.exchange(request);
  if (!answer) co_return std::unexpected(answer.error());
  if (answer->status != kNotFound && !kube::is_success(answer->status))
    co_return std::unexpected(kube::refusal(request, answer->status, answer->body));
  if (answer->status != kNotFound) log::info(kScope, request.text());
  co_return Status();
}

// The DaemonSet is the last to go: it is there until none of its pods is.
net::Task<Status> end_agents(kube::Client& client, std::string ns) {
  const kube::Place agents{.of = kDaemonSets, .ns = std::move(ns), .name = "culvert-node"};
  if (auto begun = co_await erase(client, agents, {{"propagationPolicy", "Foreground"}}); !begun) co_return begun;
  for (int turn = 0;; ++turn) {
    const auto left = co_await read(client, agents);
    if (left && left->empty()) break;
    if (!left) log::warn(kScope, "asking again: " + left.error().text);
    if (left && turn % 10 == 0) log::info(kScope, "waits for the agents to take their pods out of the mesh");
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

net::Task<Result<std::vector<std::string>>> names(kube::Client& client, kube::Place at, kube::Query query = {}) {
  const auto request = kube::list(std::move(at), std::move(query));
  const auto answer = co_await client.call(request);
  if (!answer) co_return std::unexpected(answer.error());
  boost::system::error_code error;
  const json::value value = json::parse(answer->body, error);
  const auto* items = error ? nullptr : value.find_pointer("/items", error);
  if (items == nullptr || !items->is_array()) co_return failure(request.text() + ": the answer is no list");
  std::vector<std::string> found;
  for (const json::value& item : items->as_array()) {
    const auto* name = item.find_pointer("/metadata/name", error);
    if (name != nullptr && name->is_string()) found.emplace_back(name->as_string());
  }
  co_return found;
}

// One that still runs would write again what we erase. One of another revision goes on, and has the right to.
net::Task<> await_the_last(kube::Client& client, std::string ns) {
  for (int turn = 0; turn < 60; ++turn) {
    const auto left = co_await names(client, {.of = kPods, .ns = ns}, {{"labelSelector", "app=culvertd"}});
    if (left && left->empty()) co_return;
    if (!left) log::warn(kScope, left.error().text);
    co_await net::sleep_for(client.loop(), 1s);
  }
  log::warn(kScope, "culvertd still runs, and may write again what is erased now");
}

// All of it is tried; the first failure is returned.
net::Task<Status> erase_traces(kube::Client& client, std::string ns) {
  co_await await_the_last(client, ns);
  Status all;
  const auto note = [&all](Status done) {
    if (!done) log::error(kScope, done.error().text);
    if (all && !done) all = std::move(done);
  };
  for (const kube::Place& each : kube::traces(ns)) {
    const bool ours_alone = each.name.starts_with("culvert");  // nobody else's name
    note(co_await (ours_alone ? erase(client, each) : erase_ours(client, each)));
  }
  const auto namespaces = co_await names(client, {.of = kNamespaces});
  if (!namespaces) co_return std::unexpected(namespaces.error());
  for (const std::string& each : *namespaces) note(co_await erase_ours(client, kube::root_config_map(each)));
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
