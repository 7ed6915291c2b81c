#include "controlplane/ca/root_publisher.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <optional>
#include <set>
#include <utility>
#include <variant>

#include "common/base/format.h"
#include "common/base/log.h"
#include "common/kube/watch.h"
#include "common/net/event.h"
#include "common/net/timer.h"
#include "controlplane/ca/contest.h"
#include "controlplane/ca/pause.h"

namespace culvert::controlplane {
namespace {

namespace json = boost::json;

constexpr std::string_view kName = "istio-ca-root-cert";
constexpr std::string_view kRootPem = "root-cert.pem";
// Kubernetes' own, where nobody of the mesh runs: as istiod.
constexpr std::array<std::string_view, 3> kLeftAlone = {"kube-system", "kube-public", "kube-node-lease"};

const kube::Collection kConfigMaps{.plural = "configmaps"};

constexpr std::string_view kManager = "culvertd";

struct Seen {
  std::string text;
  std::string writer;  // who wrote it last, as far as it says
};

// Times are all in the form that sorts by itself.
std::string last_writer(const json::value& config_map) {
  boost::system::error_code error;
  const auto* fields = config_map.find_pointer("/metadata/managedFields", error);
  if (fields == nullptr || !fields->is_array()) return "";
  std::string time, writer;
  for (const json::value& one : fields->as_array()) {
    const auto* when = one.find_pointer("/time", error);
    const auto* who = one.find_pointer("/manager", error);
    if (when == nullptr || who == nullptr || !when->is_string() || !who->is_string() || who->as_string() == kManager) continue;
    if (std::string_view(when->as_string()) < time) continue;
    time = when->as_string();
    writer = who->as_string();
  }
  return writer;
}

Seen seen_in(const std::string& config_map) {
  boost::system::error_code error;
  const json::value value = json::parse(config_map, error);
  if (error) return {};
  const auto* text = value.find_pointer("/data/root-cert.pem", error);
  return {text != nullptr && text->is_string() ? std::string(text->as_string()) : "", last_writer(value)};
}

}  // namespace

struct RootPublisher::State {
  State(kube::Client& its_client, const derive::Objects& its_objects, InMesh its_in_mesh, std::string its_roots,
        telemetry::Registry& registry)
      : client(its_client),
        objects(its_objects),
        in_mesh(std::move(its_in_mesh)),
        roots(std::move(its_roots)),
        written(
            registry.counter("culvert_root_configmaps_written_total", "Times that a namespace's root certificate was written.")),
        failed(registry.counter("culvert_root_configmaps_failed_total", "Times that this failed.")),
        more(its_client.loop()),
        again(its_client.loop()) {
    watch.emplace(client, kube::WatchOptions{.of = kConfigMaps, .fields = "metadata.name=" + std::string(kName)},
                  [this](const kube::Event& event) { heard(event); });
  }

  void heard(const kube::Event& event) {
    if (const auto* put = std::get_if<kube::Put>(&event)) {
      Seen seen = seen_in(put->json);
      if (seen.text == roots) {
        good.insert(put->key.ns);
        ours.insert(put->key.ns);
      } else {
        good.erase(put->key.ns);
        if (leading && ours.erase(put->key.ns) > 0 && !published.contains(seen.text)) overwritten(put->key.ns, seen.writer);
      }
    } else if (const auto* gone = std::get_if<kube::Gone>(&event)) {
      good.erase(gone->key.ns);
    } else if (const auto* trouble = std::get_if<kube::Trouble>(&event)) {
      log::warn("ca", "publishing the root certificate: " + trouble->text);
    }
    more.notify_all();
  }

  // It said what we had written, and says something else now.
  void overwritten(const std::string& ns, const std::string& writer) {
    const auto now = net::Clock::now();
    if (!contest.overwritten(ns, now) || now < quiet_until) return;
    quiet_until = now + Contest::kRest;
    log::error("ca",
               culvert::format(
                   "somebody else writes another root certificate into ConfigMap {}, again and again, and is left alone for ten "
                   "minutes: pods there do not trust what we sign (does an istiod run in this cluster? stop it, or give both the "
                   "same CA in a Secret cacerts)",
                   kName),
               {log::field("namespace", ns), log::field("writer", writer)});
  }

  // A namespace that lacks it; empty when there is none.
  std::string next() const {
    if (!leading || !watch || !watch->synced()) return "";
    const auto now = net::Clock::now();
    for (const auto& [unused, object] : objects.in(config::Kind::kNamespace, "")) {
      const std::string& name = config::metadata_of(*object).name;
      if (good.contains(name) || std::ranges::contains(kLeftAlone, std::string_view(name))) continue;
      if (!in_mesh(name)) continue;
      if (!config::metadata_of(*object).deleting && !ended.contains(name) && !contest.contested(name, now)) return name;
    }
    return "";
  }

  net::Task<Status> write(std::string ns) {
    const json::object object{{"apiVersion", "v1"},
                              {"kind", "ConfigMap"},
                              {"metadata", {{"name", kName}, {"labels", {{"istio.io/config", "true"}}}}},
                              {"data", {{kRootPem, roots}}}};
    kube::Request request = kube::apply({.of = kConfigMaps, .ns = ns, .name = std::string(kName)}, json::serialize(object),
                                        {.field_manager = std::string(kManager)});
    request.still = [this] { return !closed && leading; };
    const auto answer = co_await client.call(request);
    if (!answer) co_return std::unexpected(answer.error());
    co_return Status{};
  }

  static net::Task<> run(std::shared_ptr<State> self) {
    auto pause = kLeastPause;
    while (!self->closed) {
      const std::string ns = self->next();
      if (ns.empty()) {
        // The others, also those that are made meanwhile, are not held up by one that refuses: it is tried again after a pause.
        const bool contested = self->contest.count(net::Clock::now()) > 0;
        if (self->ended.empty() && !contested) pause = kLeastPause;
        else if (!self->again.armed())
          self->again.arm(std::exchange(pause, std::min(pause * 2, kMostPause)), [state = self.get()] { state->try_again(); });
        co_await self->more.wait();
        continue;
      }
      self->good.insert(ns);  // before the answer: what is heard meanwhile is newer
      self->ours.insert(ns);
      const Status done = co_await self->write(ns);
      if (self->closed) co_return;
      if (done) {
        self->written.add();
        self->published.insert(self->roots);
        log::debug("ca", "wrote the root certificate", {log::field("namespace", ns)});
        continue;
      }
      self->good.erase(ns);
      self->ours.erase(ns);
      if (!self->leading) continue;
      self->failed.add();
      self->ended.insert(ns);
      log::warn("ca", "publishing the root certificate: " + done.error().text);
    }
  }

  // The write that is under way may bring the old ones, and is noticed by the watch.
  void publish(std::string other) {
    published.insert(std::exchange(roots, std::move(other)));
    good.clear();
    more.notify_all();
  }

  void try_again() {
    ended.clear();
    more.notify_all();
  }

  kube::Client& client;
  const derive::Objects& objects;
  const InMesh in_mesh;
  std::string roots;
  telemetry::Counter& written;
  telemetry::Counter& failed;
  std::set<std::string> good;            // namespaces that have it
  std::set<std::string> ours;            // those in which what we wrote was seen, or is being written
  std::set<std::string> ended;           // those that refused it in this round
  std::set<std::string> published = {};  // all roots that were ours
  Contest contest;
  net::Clock::time_point quiet_until{};
  net::Event more;
  net::Timer again;
  std::optional<kube::Watch> watch;
  kube::Leadership leading = false;
  bool closed = false;
};

RootPublisher::RootPublisher(kube::Client& client, const derive::Objects& objects, InMesh in_mesh, std::string roots_pem,
                             telemetry::Registry& registry)
    : state_(std::make_shared<State>(client, objects, std::move(in_mesh), std::move(roots_pem), registry)) {
  registry.observe("culvert_root_configmaps_contested",
                   "Namespaces whose root certificate somebody else keeps writing, and not ours.", telemetry::Kind::kGauge,
                   [state = std::weak_ptr(state_)] {
                     const auto self = state.lock();
                     return self ? static_cast<double>(self->contest.count(net::Clock::now())) : 0.0;
                   });
  client.loop().spawn(State::run(state_));
}

void RootPublisher::publish(std::string roots_pem) { state_->publish(std::move(roots_pem)); }

RootPublisher::~RootPublisher() {
  state_->closed = true;
  state_->watch.reset();
  state_->more.notify_all();
}

void RootPublisher::lead(kube::Leadership leading) {
  state_->leading = std::move(leading);
  state_->more.notify_all();
}

void RootPublisher::namespaces_changed() { state_->more.notify_all(); }

}  // namespace culvert::controlplane
