#include "cni/agent/taint.h"

#include <chrono>
#include <utility>

#include "cni/agent/scope.h"
#include "cni/json/text.h"
#include "common/base/format.h"
#include "common/base/log.h"
#include "common/kube/request.h"
#include "common/net/timer.h"

namespace culvert::agent {
namespace {

using namespace std::chrono_literals;

constexpr auto kAgain = 3s;
constexpr auto kPatience = 10s;  // of a call

// One try: true when there is nothing to take away any more.
net::Task<Result<bool>> try_once(kube::Client& client, const std::string& node, const std::string& key) {
  const kube::Place place{.of = {.plural = "nodes"}, .name = node};
  auto asking = kube::get(place);
  asking.timeout = kPatience;
  const auto found = co_await client.call(std::move(asking));
  if (!found) co_return std::unexpected(found.error());
  auto patch = untaint(found->body, key);
  if (!patch) co_return std::unexpected(patch.error());
  if (patch->empty()) co_return true;
  auto request = kube::merge(place, *std::move(patch));
  request.timeout = kPatience;
  const auto answer = co_await client.exchange(request);
  if (!answer) co_return std::unexpected(answer.error());
  if (answer->status == kube::kConflict) co_return false;
  if (!kube::is_success(answer->status)) co_return std::unexpected(kube::refusal(request, answer->status, answer->body));
  log::info(scope::kApp, "pods may come: the node's startup taint is taken away", {log::field("taint", key)});
  co_return true;
}

}  // namespace

Result<std::string> untaint(std::string_view node, std::string_view key) {
  if (auto checked = json::check(node); !checked) return std::unexpected(checked.error().during("reading the node"));
  const auto version = json::find(json::find(node, "metadata"), "resourceVersion");
  if (version.empty()) return failure("reading the node: it has no resourceVersion");
  std::string kept;
  bool found = false;
  for (const auto taint : json::elements(json::find(json::find(node, "spec"), "taints"))) {
    if (json::text_of(json::find(taint, "key")) == key) {
      found = true;
      continue;
    }
    kept.append(kept.empty() ? "" : ",").append(taint);
  }
  if (!found) return std::string();
  return culvert::format(R"({{"metadata":{{"resourceVersion":{}}},"spec":{{"taints":[{}]}}}})", version, kept);
}

net::Task<> take_taint_away(kube::Client& client, std::string node, std::string key) {
  std::string last;
  for (;;) {
    const auto done = co_await try_once(client, node, key);
    if (done && *done) co_return;
    const std::string why = done ? "" : done.error().text;
    if (!why.empty() && why != last) log::warn(scope::kApp, "taking the node's startup taint away: " + why);
    last = why;
    co_await net::sleep_for(client.loop(), done ? net::Clock::duration(100ms) : net::Clock::duration(kAgain));
  }
}

}  // namespace culvert::agent
