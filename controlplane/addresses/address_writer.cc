#include "controlplane/addresses/address_writer.h"

#include <algorithm>
#include <boost/json.hpp>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "common/base/log.h"
#include "common/derive/allocate.h"
#include "common/net/event.h"
#include "common/net/timer.h"

namespace culvert::controlplane {
namespace {

namespace json = boost::json;
using Addresses = std::vector<config::StatusAddress>;

constexpr std::chrono::milliseconds kLeast{1'000}, kMost{60'000};  // between tries after a failure

config::ObjectPtr entry_of(const config::Key& key, const derive::Objects& objects) {
  const auto& names = objects.in(key.kind, key.name_space);
  const auto found = names.find(key.name);
  return found == names.end() ? nullptr : found->second;
}

// An entry as it was when its addresses were written, and those.
struct Told {
  config::ObjectPtr entry;
  Addresses addresses;

  // Whether this is what our own write made of it: then nobody else has other addresses because of it.
  bool is_echoed_by(const config::ObjectPtr& now) const {
    if (!entry || !now) return false;
    config::Custom expected = std::get<config::Custom>(*entry);
    expected.addresses = addresses;
    return expected == std::get<config::Custom>(*now);
  }
};

}  // namespace

struct AddressWriter::State {
  State(kube::Client& its_client, const derive::Objects& its_objects, telemetry::Registry& registry, kube::ServedAs its_served)
      : client(its_client),
        objects(its_objects),
        served(std::move(its_served)),
        written(registry.counter("culvert_addresses_written_total", "Times that a ServiceEntry's status.addresses was written.")),
        failed(registry.counter("culvert_addresses_failed_total", "Times that this failed.")),
        sought(registry.counter("culvert_addresses_sought_total",
                                "Times that all ServiceEntries were looked through for what they lack.")),
        more(its_client.loop()),
        again(its_client.loop()) {}

  // What is to be written now. What has been written is, until the watch tells of it, as good as there.
  std::optional<std::pair<config::Key, Addresses>> next() {
    if (!leading) return std::nullopt;
    if (std::exchange(dirty, false)) {
      wanted = derive::allocate(objects);
      sought.add();
      for (const std::string& name_space : objects.namespaces(config::Kind::kServiceEntry))
        for (const auto& [name, object] : objects.in(config::Kind::kServiceEntry, name_space))
          seen.insert_or_assign({config::Kind::kServiceEntry, name_space, std::string(name)}, object);
      std::erase_if(wanted, [this](const auto& one) {
        const auto done = told.find(one.first);
        return done != told.end() && done->second.addresses == one.second;
      });
    }
    const auto found = std::ranges::find_if(wanted, [this](const auto& one) { return !ended.contains(one.first); });
    if (found == wanted.end()) return std::nullopt;
    return *found;
  }

  // Whether an entry is another than it was, but for what we wrote: thousands of statuses, ours and those with conditions, come back as events.
  bool is_news(const config::Key& key) {
    const config::ObjectPtr now = entry_of(key, objects);
    const config::ObjectPtr before = std::exchange(seen[key], now);
    if (!now) seen.erase(key);
    const auto done = told.extract(key);
    if (done.empty() ? before && now && *before == *now : done.mapped().is_echoed_by(now)) return false;
    ended.erase(key);
    return true;
  }

  static net::Task<> run(std::shared_ptr<State> self) {
    auto pause = kLeast;
    while (!self->closed) {
      const auto one = self->next();
      if (!one) {
        // The others are not held up by one that cannot be written: it is tried again after a pause.
        if (self->ended.empty()) pause = kLeast;
        else if (!self->again.armed())
          self->again.arm(std::exchange(pause, std::min(pause * 2, kMost)), [state = self.get()] { state->try_again(); });
        co_await self->more.wait();
        continue;
      }
      const auto& [key, addresses] = *one;
      self->told[key] = {entry_of(key, self->objects), addresses};  // before the answer: what is heard meanwhile is newer
      kube::Request request = address_patch(self->served(key.kind), key, addresses);
      request.still = [self] { return !self->closed && self->leading; };
      const auto answer = co_await self->client.call(request);
      if (self->closed) co_return;
      self->wanted.erase(key);
      if (answer) {
        self->written.add();
        log::debug("addresses", "wrote", {log::field("object", key.text()), log::field("addresses", addresses.size())});
        continue;
      }
      self->told.erase(key);
      if (!self->leading) continue;
      self->failed.add();
      self->ended.insert(key);
      log::warn("addresses", "giving " + key.text() + " its addresses: " + answer.error().text);
    }
  }

  void try_again() {
    ended.clear();
    dirty = true;
    more.notify_all();
  }

  kube::Client& client;
  const derive::Objects& objects;
  const kube::ServedAs served;
  telemetry::Counter& written;
  telemetry::Counter& failed;
  telemetry::Counter& sought;
  derive::Allocations wanted;                     // and not written yet
  std::map<config::Key, Told> told;               // written since the object was last heard of
  std::set<config::Key> ended;                    // those that failed in this round
  std::map<config::Key, config::ObjectPtr> seen;  // every entry as it was last heard of
  net::Event more;
  net::Timer again;
  bool dirty = true;  // the objects are others than `wanted` was made from
  kube::Leadership leading = false;
  bool closed = false;
};

AddressWriter::AddressWriter(kube::Client& client, const derive::Objects& objects, telemetry::Registry& registry,
                             kube::ServedAs served)
    : state_(std::make_shared<State>(client, objects, registry, std::move(served))) {
  client.loop().spawn(State::run(state_));
}

AddressWriter::~AddressWriter() {
  state_->closed = true;
  state_->again.cancel();
  state_->more.notify_all();
}

void AddressWriter::lead(kube::Leadership leading) {
  state_->leading = std::move(leading);
  state_->dirty = true;
  state_->told.clear();
  state_->more.notify_all();
}

void AddressWriter::changed(const std::vector<config::Key>& keys) {
  bool any = false;
  for (const config::Key& key : keys) {
    // Namespaces come into the mesh and leave it by their labels, and by MeshConfig.
    if (key.kind == config::Kind::kNamespace || key.kind == config::Kind::kConfigMap) any = true;
    if (key.kind != config::Kind::kServiceEntry) continue;
    any |= state_->is_news(key);
  }
  if (!any) return;
  state_->dirty = true;
  state_->more.notify_all();
}

kube::Request address_patch(const kube::Collection& entries, const config::Key& entry, const Addresses& addresses) {
  json::array list;
  for (const config::StatusAddress& one : addresses) list.push_back({{"host", one.host}, {"value", one.value}});
  const json::object patch{{"status", {{"addresses", std::move(list)}}}};
  return kube::merge({.of = entries, .ns = entry.name_space, .name = entry.name, .subresource = "status"},
                     json::serialize(patch));
}

}  // namespace culvert::controlplane
