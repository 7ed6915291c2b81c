#include "controlplane/epochs.h"

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <functional>

#include "common/base/format.h"
#include "common/config/kinds.h"
#include "common/derive/mesh_config.h"

namespace culvert::controlplane {
namespace {

namespace json = boost::json;
using Channel = XdsService::Client::Channel;

constexpr std::size_t kMostProblems = 10;

std::string refusal_text(std::string_view type, const std::string& name, const std::string& error) {
  return culvert::format("refused {} of {}: {}", name.empty() ? "resources" : name, type, error);
}

// `refusal` finds the one that matters, if any.
Standing standing(const XdsService::Client& client, Epoch epoch,
                  const std::function<const std::pair<const std::string, Refusals::Refusal>*(const Refusals&)>& refusal) {
  if (client.channels.empty()) return {.has = false, .refused = false, .why = "has asked for nothing yet"};
  for (const Channel& channel : client.channels) {
    const auto* found = refusal(channel.progress.refusals);
    if (found) return {false, true, refusal_text(short_name(channel.type), found->first, found->second.error)};
  }
  for (const Channel& channel : client.channels) {
    const Stream::Progress& progress = channel.progress;
    if (progress.answered >= epoch) continue;
    return {false, false,
            culvert::format("has {} in force up to epoch {}, {}", short_name(channel.type), progress.answered,
                            progress.waiting ? culvert::format("and has not answered what it was sent as {}", channel.nonce_sent)
                                             : "and waits for its turn")};
  }
  return {.has = true, .refused = false, .why = ""};
}

// As an object MeshConfig is but text, which is read where it is derived from.
void add_mesh_config(const Mesh& mesh, const config::Key& key, json::object& out) {
  const derive::Settings& settings = mesh.deriver().settings();
  if (key != derive::mesh_config_key(settings)) return;
  const derive::MeshConfigured read = derive::with_mesh_config(settings, mesh.store().objects());
  const std::string place = mesh.store().place_of(key);
  std::string why;
  for (const std::string& problem : read.problems)
    why += (why.empty() ? "" : "; ") + (place.empty() ? "" : place + ": ") + problem;
  if (!why.empty()) {
    out["state"] = "invalid";
    out["why"] = why;
  }
  if (!read.doubts.empty()) out["doubts"] = json::array(read.doubts.begin(), read.doubts.end());
}

json::object object_json(const Mesh& mesh, const config::Key& key) {
  const auto last = mesh.store().last_change(key);
  json::object out{{"kind", config::name(key.kind)}, {"namespace", key.name_space}, {"name", key.name}};
  if (!last) {
    out["state"] = "unknown";
    json::array problems;  // it may stand in a document that cannot be read
    for (const auto& [other, broken] : mesh.store().broken()) {
      if (problems.size() == kMostProblems) break;
      problems.emplace_back(broken.why.empty() ? broken.place + ": " + other.text() + " cannot be read" : broken.why);
    }
    out["broken"] = std::move(problems);
    return out;
  }
  using What = Store::Last::What;
  out["state"] = last->what == What::kPut ? "in force" : last->what == What::kDeleted ? "deleted" : "invalid";
  out["epoch"] = last->epoch;
  if (const auto broken = mesh.store().broken().find(key); broken != mesh.store().broken().end()) out["why"] = broken->second.why;
  if (last->what == What::kPut) add_mesh_config(mesh, key, out);
  if (!derive::derives_from(key.kind)) out["enforced"] = false;
  return out;
}

json::object client_json(const XdsService::Client& client, const Standing& standing) {
  json::array types;
  Epoch applied = client.channels.empty() ? 0 : ~Epoch{0};
  for (const Channel& channel : client.channels) {
    const Stream::Progress& progress = channel.progress;
    applied = std::min(applied, progress.applied());
    json::object one{{"type", short_name(channel.type)},
                     {"sent", progress.sent},
                     {"acked", progress.acknowledged},
                     {"applied", progress.applied()},
                     {"waiting", progress.waiting}};
    json::array refused;
    for (const auto& [name, refusal] : progress.refusals.all())
      refused.push_back({{"resource", name}, {"has", refusal.has}, {"sent", refusal.sent}, {"error", refusal.error}});
    if (!refused.empty()) one["refused"] = std::move(refused);
    types.push_back(std::move(one));
  }
  json::object out{{"node", client.node}, {"proxy", client.self.id},   {"peer", client.peer}, {"connection", client.connection},
                   {"applied", applied},  {"current", client.current}, {"has", standing.has}, {"types", std::move(types)}};
  if (!standing.has) {
    out["refused"] = standing.refused;
    out["why"] = standing.why;
  }
  return out;
}

json::array texts(const auto& list) { return json::array(list.begin(), list.end()); }

}  // namespace

Result<EpochsAsked> EpochsAsked::of(const http::Request& request, const config::Key& mesh_config) {
  EpochsAsked asked;
  if (const auto epoch = request.query("epoch")) {
    Epoch number = 0;
    const auto [end, error] = std::from_chars(epoch->data(), epoch->data() + epoch->size(), number);
    if (error != std::errc() || end != epoch->data() + epoch->size()) return failure("epoch is no number");
    asked.epoch = number;
  }
  const auto object = request.query("object");
  if (!object) return asked;
  const auto first = object->find('/'), last = object->rfind('/');
  if (first == object->npos) return failure("object is KIND/NAMESPACE/NAME, or KIND/NAME of what is in no namespace");
  const auto kind = config::kind_called(object->substr(0, first));
  if (!kind) return std::unexpected(kind.error());
  config::Key key{*kind, first == last ? "" : object->substr(first + 1, last - first - 1), object->substr(last + 1)};
  if (config::is_namespaced(*kind) != !key.name_space.empty() || key.name.empty() || key.name_space.contains('/')) {
    return failure(std::string(config::name(*kind)) +
                   (config::is_namespaced(*kind) ? " needs KIND/NAMESPACE/NAME" : " is in no namespace (write KIND/NAME)"));
  }
  if (key.kind == mesh_config.kind && key != mesh_config)
    return failure(key.text() + " says nothing to the mesh: of all ConfigMaps only " + mesh_config.name + " in namespace " +
                   mesh_config.name_space + ", which holds MeshConfig, can be waited for");
  asked.object = std::move(key);
  return asked;
}

Standing has_all(const XdsService::Client& client, Epoch epoch) {
  return standing(client, epoch, [epoch](const Refusals& refusals) {
    const auto found = std::ranges::find_if(refusals.all(), [&](const auto& one) { return one.second.has < epoch; });
    return found == refusals.all().end() ? nullptr : &*found;
  });
}

Standing has_change(const XdsService::Client& client, Epoch epoch) {
  return standing(client, epoch, [epoch](const Refusals& refusals) { return refusals.of(epoch); });
}

Absent Absent::of(Nodes expected, const Nodes& ready, const Nodes& away, const Nodes& connected, bool just_begun) {
  Absent out;
  expected.insert(away.begin(), away.end());
  for (const std::string& node : expected) {
    if (connected.contains(node)) continue;
    out.nodes.insert(node);
    if (just_begun || away.contains(node)) out.awaited.insert(node);
    if (ready.contains(node)) out.ready.insert(node);
  }
  return out;
}

std::string epochs_json(const EpochsKnown& known, const EpochsAsked& asked) {
  const Mesh& mesh = known.mesh;
  Epoch wanted = asked.epoch.value_or(mesh.snapshot().epoch());
  json::object out{{"instance", known.instance}, {"epoch", mesh.snapshot().epoch()}};
  if (asked.object) {
    out["object"] = object_json(mesh, *asked.object);
    const auto last = mesh.store().last_change(*asked.object);
    wanted = last ? last->epoch : 0;
  }
  if (!known.unseen.empty()) out["unseen"] = known.unseen;
  json::array nodes;
  for (const XdsService::Client& client : known.clients)
    nodes.push_back(client_json(client, asked.object ? has_change(client, wanted) : has_all(client, wanted)));
  out["wanted"] = wanted;
  out["nodes"] = std::move(nodes);
  out["absent"] = texts(known.absent.nodes);
  out["awaited"] = texts(known.absent.awaited);
  out["ready"] = texts(known.absent.ready);
  return json::serialize(out) + "\n";
}

}  // namespace culvert::controlplane
