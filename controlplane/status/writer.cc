#include "controlplane/status/writer.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <deque>
#include <map>
#include <set>
#include <utility>

#include "common/base/format.h"
#include "common/base/log.h"
#include "common/kube/object.h"
#include "common/kube/request.h"
#include "common/net/event.h"
#include "common/net/timer.h"
#include "controlplane/status/decide.h"

namespace culvert::controlplane {
namespace {

namespace json = boost::json;
using config::Key;
using config::Kind;
using net::Clock;
using std::chrono::milliseconds;

constexpr std::string_view kScope = "status";

std::string body_of(const Patch& patch, const std::string& version) {
  return json::serialize(json::object{{"metadata", {{"resourceVersion", version}}}, {"status", patch.status}});
}

// A patch without its times: what it says.
json::value timeless(const json::value& value) {
  if (value.is_array()) {
    json::array out;
    for (const json::value& one : value.as_array()) out.push_back(timeless(one));
    return out;
  }
  if (!value.is_object()) return value;
  json::object out;
  for (const auto& [name, one] : value.as_object()) {
    if (name != "lastTransitionTime") out[name] = timeless(one);
  }
  return out;
}
std::string said_by(const Patch& patch) { return json::serialize(timeless(patch.status)); }

config::Standing standing_in(const std::string& object) {
  config::Standing standing{
      .generation = 0, .version = kube::meta_of(object).resource_version, .status = kube::member_of(object, {"status"})};
  const std::string generation = kube::member_of(object, {"metadata", "generation"});
  std::from_chars(generation.data(), generation.data() + generation.size(), standing.generation);
  return standing;
}

}  // namespace

struct StatusWriter::State {
  // How our last write of an object went.
  struct Written {
    std::string said;
    milliseconds pause{0};
    Clock::time_point not_before{};  // the same again, or other numbers
    Clock::time_point at{};
  };
  // A kind that cannot be written: no right, no such subresource.
  struct Blocked {
    std::string said;
    milliseconds pause{0};
    Clock::time_point until{};
  };

  State(kube::Client& its_client, const derive::Objects& its_objects, const derive::Settings& its_settings,
        const derive::Tally& its_tally, telemetry::Registry& registry, StatusOptions its_options)
      : client(its_client),
        objects(its_objects),
        settings(its_settings),
        tally(its_tally),
        options(std::move(its_options)),
        done(registry.counter("culvert_status_written_total", "Times that the status of an object was written.")),
        failed(registry.counter("culvert_status_failed_total", "Times that this failed.")),
        more(its_client.loop()),
        work(its_client.loop()),
        wake(its_client.loop()) {}

  static net::Task<> gather(std::shared_ptr<State> self);
  static net::Task<> write_all(std::shared_ptr<State> self);
  net::Task<> write(Key key);
  net::Task<> send(Key key, Patch patch, config::Standing before);
  void refused(const Key& key, const kube::Request& request, int status, const std::string& body);
  void block(Kind kind, const std::string& why);
  void put_off(const Key& key, Clock::time_point until);
  void arm(Clock::time_point at);
  void noted();
  void due();
  View view() { return {objects, settings, board, tally, looked_at}; }

  kube::Client& client;
  const derive::Objects& objects;
  const derive::Settings& settings;
  const derive::Tally& tally;
  const StatusOptions options;
  telemetry::Counter& done;
  telemetry::Counter& failed;
  Board board;
  std::deque<Key> queue;
  std::set<Key> queued;   // what stands in it
  std::set<Key> writing;  // what is on its way
  std::map<Key, Clock::time_point> later;
  std::map<Key, Written> written;
  std::map<Kind, Blocked> blocked;
  Clock::time_point next_slot{};
  net::Event more, work;
  net::Timer wake;
  Clock::time_point wakes_at{};
  std::size_t looked_at = 0;  // objects, since others had their turn
  bool leading = false;
  bool closed = false;
};

// Gathers what changed, and hands it to the writers once a batch.
net::Task<> StatusWriter::State::gather(std::shared_ptr<State> self) {
  while (!self->closed) {
    if (!self->leading || self->board.quiet()) {
      co_await self->more.wait();
      continue;
    }
    co_await net::sleep_for(self->client.loop(), self->options.batch);
    if (self->closed) co_return;
    if (!self->leading) continue;
    const Board::Touched touched = self->board.take(self->objects, self->settings);
    for (const Key& key : touched.now) {
      self->later.erase(key);
      if (self->queued.insert(key).second) self->queue.push_back(key);
    }
    const auto settled = Clock::now() + self->options.settle;
    for (const Key& key : touched.counts) {
      if (!self->queued.contains(key) && !self->later.contains(key)) self->put_off(key, settled);
    }
    self->work.notify_all();
  }
}

net::Task<> StatusWriter::State::write_all(std::shared_ptr<State> self) {
  constexpr std::size_t kMost = 64;
  while (!self->closed) {
    if (!self->leading || self->queue.empty()) {
      co_await self->work.wait();
      continue;
    }
    const Key key = self->queue.front();
    self->queue.pop_front();
    self->queued.erase(key);
    co_await self->write(key);
    // Most need no write, and some look at many others: the loop is everybody's.
    if (++self->looked_at < kMost) continue;
    self->looked_at = 0;
    co_await self->client.loop().yield();
  }
}

net::Task<> StatusWriter::State::write(Key key) {
  const config::Standing* standing = board.standing(key);
  if (standing == nullptr) {
    written.erase(key);
    co_return;
  }
  const auto now = Clock::now();
  if (writing.contains(key)) co_return put_off(key, now + options.batch);
  if (const auto kind = blocked.find(key.kind); kind != blocked.end() && now < kind->second.until)
    co_return put_off(key, kind->second.until);
  const auto wanted = wanted_of(key, view());
  if (!wanted) co_return;
  auto patch = patch_of(*wanted, *standing, rfc3339(std::chrono::system_clock::now()));
  if (!patch) co_return;
  if (const auto last = written.find(key); last != written.end()) {
    const bool again = last->second.said == said_by(*patch);
    if (again && now < last->second.not_before) co_return put_off(key, last->second.not_before);
    const auto settled = last->second.at + options.settle;
    if (!patch->urgent && now < settled) co_return put_off(key, settled);
  }
  co_await send(key, std::move(*patch), *standing);
}

net::Task<> StatusWriter::State::send(Key key, Patch patch, config::Standing before) {
  writing.insert(key);
  const auto slot = std::max(next_slot, Clock::now());
  next_slot = slot + std::chrono::microseconds(1'000'000 / options.per_second);
  co_await net::sleep_for(client.loop(), slot - Clock::now());
  kube::Request request =
      kube::merge({.of = options.served(key.kind), .ns = key.name_space, .name = key.name, .subresource = "status"},
                  body_of(patch, before.version));
  request.query = {{"fieldManager", "culvertd"}};
  request.still = [this] { return !closed && leading && options.leads(); };
  std::optional<Result<http::Response>> answer;
  if (request.still()) answer = co_await client.exchange(request);
  writing.erase(key);
  if (closed || !answer || (!*answer && !request.still())) co_return;
  Written& last = written[key];
  const std::string said = said_by(patch);
  const auto now = Clock::now();
  last.at = now;
  if (answer->has_value() && kube::is_success((*answer)->status)) {
    // The same once more in so short a time did not last.
    last.pause = last.said == said ? std::clamp(last.pause * 2, options.least, options.most) : options.least;
    last.said = said;
    last.not_before = now + last.pause;
    board.written(key, before, standing_in((*answer)->body));
    blocked.erase(key.kind);
    done.add();
    co_return;
  }
  if (!answer->has_value()) {
    failed.add();
    block(key.kind, answer->error().text);
  } else if ((*answer)->status != kube::kConflict) {
    refused(key, request, (*answer)->status, (*answer)->body);
  }
  put_off(key, now + options.least);  // after a conflict the newer version is about to be told
}

void StatusWriter::State::refused(const Key& key, const kube::Request& request, int status, const std::string& body) {
  // A 404 that names the object: it is gone, and the watch will say so.
  if (status == kube::kNotFound && kube::explanation_of(body).message.contains("\"" + key.name + "\"")) return;
  failed.add();
  std::string why = kube::refusal(request, status, body).text;
  if (status == kube::kNotFound) why += " (its CRD has no status subresource: install ours, or leave it)";
  if (status == 403 || status == kube::kNotFound || status >= 500 || status == 429) return block(key.kind, why);
  Written& last = written[key];  // this object alone
  last.pause = std::clamp(last.pause * 2, options.least, options.most);
  last.not_before = Clock::now() + last.pause;
  log::warn(kScope, "writing what became of it: " + why, {log::field("object", key.text())});
  put_off(key, last.not_before);
}

// Nothing of the kind can be written for now: said once, not once an object.
void StatusWriter::State::block(Kind kind, const std::string& why) {
  Blocked& state = blocked[kind];
  state.pause = std::clamp(state.pause * 2, options.least, options.most);
  state.until = Clock::now() + state.pause;
  const std::string reason = why.substr(std::min(why.find(": "), why.size()));
  if (std::exchange(state.said, reason) != reason) log::warn(kScope, "writing what became of objects: " + why);
}

void StatusWriter::State::put_off(const Key& key, Clock::time_point until) {
  later[key] = until;
  if (!wake.armed() || until < wakes_at) arm(until);
}

void StatusWriter::State::arm(Clock::time_point at) {
  wakes_at = at;
  wake.arm(std::max(at - Clock::now(), Clock::duration(milliseconds(1))), [this] { due(); });
}

void StatusWriter::State::noted() {
  if (!leading) return board.forget();  // who leads next looks at everything
  more.notify_all();
}

// Those that have waited long enough take their place in the queue.
void StatusWriter::State::due() {
  const auto now = Clock::now();
  auto next = Clock::time_point::max();
  std::erase_if(later, [&](const auto& each) {
    if (each.second > now) {
      next = std::min(next, each.second);
      return false;
    }
    if (queued.insert(each.first).second) queue.push_back(each.first);
    return true;
  });
  if (!later.empty()) arm(next);
  work.notify_all();
}

StatusWriter::StatusWriter(kube::Client& client, const derive::Objects& objects, const derive::Settings& settings,
                           const derive::Tally& tally, telemetry::Registry& registry, StatusOptions options)
    : state_(std::make_shared<State>(client, objects, settings, tally, registry, std::move(options))) {
  registry.observe("culvert_status_pending", "Objects whose status is about to be looked at or written.", telemetry::Kind::kGauge,
                   [state = std::weak_ptr(state_)] {
                     const auto self = state.lock();
                     return self ? static_cast<double>(self->queue.size() + self->later.size() + self->writing.size()) : 0.0;
                   });
  client.loop().spawn(State::gather(state_));
  for (unsigned i = 0; i < state_->options.at_once; ++i) client.loop().spawn(State::write_all(state_));
}

StatusWriter::~StatusWriter() {
  state_->closed = true;
  state_->wake.cancel();
  state_->more.notify_all();
  state_->work.notify_all();
}

void StatusWriter::note(const config::Diff& diff) {
  state_->board.note(diff);
  state_->noted();
}

void StatusWriter::doubted(std::span<const Key> objects) {
  state_->board.doubted(objects);
  state_->noted();
}

// A new leader looks at everything: nobody knows what the last one had come to.
void StatusWriter::lead(bool leading) {
  State& state = *state_;
  if (std::exchange(state.leading, leading) == leading) return;
  state.queue.clear();
  state.queued.clear();
  state.later.clear();
  state.written.clear();
  state.blocked.clear();
  if (!leading) return;
  for (const Key& key : state.board.all()) {
    state.queued.insert(key);
    state.queue.push_back(key);
  }
  state.more.notify_all();
  state.work.notify_all();
}

}  // namespace culvert::controlplane
