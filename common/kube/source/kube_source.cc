#include "common/kube/source/kube_source.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <utility>
#include <variant>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/config/kinds.h"
#include "common/config/parse.h"
#include "common/kube/watch.h"

namespace culvert::kube {
namespace {

constexpr std::string_view kScope = "kube";

// Where the API serves a kind.
Collection collection_of(config::Kind kind) {
  switch (kind) {
    case config::Kind::kNamespace: return {.plural = "namespaces"};
    case config::Kind::kNode: return {.plural = "nodes"};
    case config::Kind::kServiceAccount: return {.plural = "serviceaccounts"};
    case config::Kind::kPod: return {.plural = "pods"};
    case config::Kind::kService: return {.plural = "services"};
    case config::Kind::kEndpointSlice: return {.group = "discovery.k8s.io", .plural = "endpointslices"};
    case config::Kind::kConfigMap: return {.plural = "configmaps"};
    case config::Kind::kDeployment: return {.group = "apps", .plural = "deployments"};
    case config::Kind::kStatefulSet: return {.group = "apps", .plural = "statefulsets"};
    default: break;
  }
  const config::CustomKind* custom = config::find_kind(kind);
  CULVERT_CHECK(custom != nullptr);
  return {.group = custom->group, .version = custom->versions.front(), .plural = custom->plural};
}

}  // namespace

struct Source::State {
  // One collection.
  struct Part {
    config::Kind kind{};
    std::map<Key, std::string> versions;  // of what has been told; empty: told as deleted once, and there anew
    std::string trouble;
    bool synced = false;
    std::unique_ptr<Watch> watch;
  };

  // How an object stands before the first Diff. That may be long in coming, while pods come and go: only the last of each counts.
  struct First {
    std::optional<config::Change> put, invalid;
    std::vector<config::Problem> problems;
  };

  State(Client& its_client, SourceOptions its_options, telemetry::Registry& registry, Listener its_listener)
      : client(its_client), options(std::move(its_options)), listener(std::move(its_listener)) {
    for (const Wanted& wanted : options.of) add(wanted, registry);
  }
  ~State() { *alive = false; }

  void add(const Wanted& wanted, telemetry::Registry& registry) {
    Part& part = *parts.emplace_back(std::make_unique<Part>());
    part.kind = wanted.kind;
    const Collection of = collection_of(wanted.kind);
    registry.observe("culvert_kube_synced",
                     "1 when the collection is listed and its watch is well, 0 when what is known may be old.",
                     telemetry::Kind::kGauge, [&part] { return part.synced && part.trouble.empty() ? 1.0 : 0.0; },
                     {{"collection", of.text()}});
    part.watch =
        std::make_unique<Watch>(client, WatchOptions{.of = of, .ns = wanted.ns, .labels = wanted.labels, .fields = wanted.fields},
                                [this, &part](Event event) { std::visit([&](auto& what) { on(part, what); }, event); });
  }

  config::Key key_of(const Part& part, const Key& key) const { return {part.kind, key.ns, key.name}; }

  void on(Part& part, Put& put) {
    std::string& version = part.versions[put.key];
    if (!put.resource_version.empty() && version == put.resource_version) return;  // put again after a new list
    version = put.resource_version;
    config::ParsedFile parsed = config::parse_json(options.name, put.json);
    const config::Key key = key_of(part, put.key);
    for (config::Parsed& one : parsed.objects) {
      if (config::key_of(*one.object) == key)
        change({config::Change::What::kPut, key, std::move(one.object), std::move(one.place)});
      else invalid(key, "is not what was asked for: " + config::key_of(*one.object).text());
    }
    std::vector<config::Problem> problems;
    for (config::Broken& broken : parsed.broken) {
      for (config::Problem& problem : broken.problems) {
        if (problem.object.empty()) problem.object = key.text();
        problems.push_back(std::move(problem));
      }
    }
    if (!parsed.broken.empty()) change({config::Change::What::kInvalid, key, {}, {options.name, 0}}, std::move(problems));
    if (parsed.objects.empty() && parsed.broken.empty()) invalid(key, "is of a version that is not read");
  }

  void on(Part& part, const Gone& gone) {
    if (part.versions.erase(gone.key) == 0) return;
    change({config::Change::What::kDelete, key_of(part, gone.key), {}, {options.name, 0}});
  }

  void on(Part& part, const Skipped& skipped) {
    const config::Key key = key_of(part, skipped.key);
    if (skipped.key.name.empty()) {
      auto& problems = synced ? pending.problems : first[{part.kind, "", ""}].problems;
      if (!synced) problems.clear();
      problems.push_back({{options.name, 0}, std::string(config::name(part.kind)), "", skipped.why, ""});
      tell_soon();
    } else {
      part.versions[skipped.key].clear();
      invalid(key, skipped.why);
    }
  }

  void on(Part& part, const Synced&) {
    part.synced = true;
    log::info(kScope, "listed",
              {log::field("collection", collection_of(part.kind).text()), log::field("objects", part.versions.size())});
    tell_soon();
  }

  void on(Part& part, const Trouble& trouble) {
    part.trouble = trouble.text;
    log::warn(kScope, trouble.text + (part.synced ? " (what is known stays in force)" : ""));
  }

  void on(Part& part, const Recovered&) {
    log::info(kScope, "is well again", {log::field("collection", collection_of(part.kind).text())});
    part.trouble.clear();
  }

  void invalid(const config::Key& key, std::string why) {
    change({config::Change::What::kInvalid, key, {}, {options.name, 0}},
           {{{options.name, 0}, key.text(), "", std::move(why), ""}});
  }

  void change(config::Change what, std::vector<config::Problem> problems = {}) {
    if (synced) {
      pending.changes.push_back(std::move(what));
      std::ranges::move(problems, std::back_inserter(pending.problems));
    } else if (what.what == config::Change::What::kDelete) {
      first.erase(what.key);
    } else {
      First& one = first[what.key];
      if (what.what == config::Change::What::kPut) one = {.put = std::move(what), .invalid = {}, .problems = {}};
      else one = {.put = std::move(one.put), .invalid = std::move(what), .problems = std::move(problems)};
    }
    tell_soon();
  }

  void tell_first() {
    for (auto& [key, one] : std::exchange(first, {})) {
      for (auto* change : {&one.put, &one.invalid})
        if (*change) pending.changes.push_back(std::move(**change));
      std::ranges::move(one.problems, std::back_inserter(pending.problems));
    }
    synced = true;
    listener(std::exchange(pending, {}));
  }

  // Everything that the watches tell in this turn of the loop becomes one Diff.
  void tell_soon() {
    if (std::exchange(told_soon, true)) return;
    client.loop().post([this, still = alive] {
      if (*still) tell();
    });
  }

  void tell() {
    told_soon = false;
    if (!synced) {
      for (const auto& part : parts)
        if (!part->synced) return;
      tell_first();
    } else if (!pending.empty()) {
      listener(std::exchange(pending, {}));
    }
  }

  Client& client;
  const SourceOptions options;
  const Listener listener;
  std::vector<std::unique_ptr<Part>> parts;
  std::map<config::Key, First> first;
  config::Diff pending;
  bool synced = false;
  bool told_soon = false;
  const std::shared_ptr<bool> alive = std::make_shared<bool>(true);
};

Source::Source(Client& client, SourceOptions options, telemetry::Registry& registry, Listener listener)
    : state_(std::make_unique<State>(client, std::move(options), registry, std::move(listener))) {}
Source::~Source() = default;

bool Source::synced() const { return state_->synced; }

std::vector<std::string> Source::troubles() const {
  std::vector<std::string> out;
  for (const auto& part : state_->parts) {
    if (part->synced && part->trouble.empty()) continue;
    out.push_back(collection_of(part->kind).text() + ": " + (part->trouble.empty() ? "not listed yet" : part->trouble));
  }
  return out;
}

}  // namespace culvert::kube
