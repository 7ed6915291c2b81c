#include "cni/agent/kube_events.h"

#include <chrono>
#include <functional>
#include <utility>

#include "cni/agent/scope.h"
#include "cni/json/text.h"
#include "common/base/format.h"
#include "common/base/log.h"
#include "common/net/timer.h"

namespace culvert::agent {
namespace {

constexpr std::size_t kMostWaiting = 256;
constexpr std::size_t kMostTold = 4096;
constexpr std::size_t kMostText = 1024;  // the API's limit of a message
constexpr std::size_t kMostName = 253;
// An API server that is away, or too busy, has it when it is back; what none of its copies takes in a minute and a half holds up no other.
constexpr int kTries = 10;
constexpr std::chrono::milliseconds kPatience{4000};
constexpr net::Clock::duration kFirstPause = std::chrono::milliseconds(100);  // twice as long each time

std::string now() { return rfc3339(std::chrono::system_clock::now()); }

// FNV-1a: the same in every run and every version, so that an agent that is started again counts on.
std::uint64_t hash_of(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

std::string_view cut(std::string_view text) {
  if (text.size() <= kMostText) return text;
  auto size = kMostText;
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80) --size;
  return text.substr(0, size);
}

}  // namespace

EventText event_of(const config::Pod& pod, const News& news, const std::string& node, int count, const std::string& first,
                   const std::string& last) {
  const auto& meta = pod.metadata;
  const auto text = cut(news.text);
  const auto tail = culvert::format(".{:016x}", hash_of(culvert::format("{}\n{}\n{}", meta.uid, news.reason, text)));
  auto name = meta.name.substr(0, kMostName - tail.size()) + tail;
  auto json = culvert::format(
      R"({{"apiVersion":"v1","kind":"Event","metadata":{{"name":{},"namespace":{}}},)"
      R"("involvedObject":{{"apiVersion":"v1","kind":"Pod","name":{},"namespace":{},"uid":{}}},)"
      R"("type":"{}","reason":{},"message":{},"count":{},"firstTimestamp":"{}","lastTimestamp":"{}",)"
      R"("source":{{"component":"culvert-node","host":{}}},"reportingComponent":"culvert.dev/culvert-node","reportingInstance":{}}})",
      json::quoted(name), json::quoted(meta.name_space), json::quoted(meta.name), json::quoted(meta.name_space),
      json::quoted(meta.uid), news.warning ? "Warning" : "Normal", json::quoted(news.reason), json::quoted(text), count, first,
      last, json::quoted(node), json::quoted(node));
  return {.name = std::move(name), .json = std::move(json)};
}

KubeEvents::KubeEvents(kube::Client& client, std::string node, telemetry::Registry& registry)
    : client_(client), node_(std::move(node)), changed_(client.loop()) {
  registry.observe("culvert_node_events_dropped_total", "Events of pods that could not be written", telemetry::Kind::kCounter,
                   [this] { return static_cast<double>(dropped_); });
  client_.loop().spawn(write_all());
}

void KubeEvents::tell(const config::Pod& pod, News news) {
  if (queue_.size() == kMostWaiting) {
    queue_.pop_front();
    ++dropped_;
  }
  queue_.push_back({std::make_shared<const config::Pod>(pod), std::move(news), now()});
  changed_.notify_all();
}

net::Task<> KubeEvents::write_all() {
  while (true) {
    while (queue_.empty()) co_await changed_.wait();
    auto item = std::move(queue_.front());
    queue_.pop_front();
    const auto event = counted(item);
    auto done = co_await write(event);
    auto pause = kFirstPause;
    for (int tries = 1; done.later && tries < kTries; tries++, pause *= 2) {
      co_await net::sleep_for(client_.loop(), pause);
      done = co_await write(event);
    }
    if (done.status) continue;
    ++dropped_;
    log::warn(scope::kEvents, "an event is not told: " + done.status.error().text, {log::field("event", item.news.text)});
  }
}

kube::Request KubeEvents::counted(const Item& item) {
  const auto& meta = item.pod->metadata;
  const auto key = meta.name_space + "/" + event_of(*item.pod, item.news, node_, 1, "", "").name;
  if (told_.size() >= kMostTold) told_.clear();
  auto& told = told_[key];
  if (told.count++ == 0) told.first = item.when;
  const auto text = event_of(*item.pod, item.news, node_, told.count, told.first, item.when);
  auto event = kube::apply({.of = {.plural = "events"}, .ns = meta.name_space, .name = text.name}, text.json,
                           {.field_manager = "culvert-node"});
  event.timeout = kPatience;
  return event;
}

net::Task<KubeEvents::Written> KubeEvents::write(const kube::Request& event) {
  const auto answer = co_await client_.exchange(event);
  if (!answer) co_return Written{.status = std::unexpected(answer.error()), .later = true};
  if (kube::is_success(answer->status)) co_return Written{};
  const bool busy = answer->status == 429 || answer->status >= 500;
  co_return Written{.status = std::unexpected(kube::refusal(event, answer->status, answer->body)), .later = busy};
}

}  // namespace culvert::agent
