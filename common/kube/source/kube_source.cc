#include "common/kube/source/kube_source.h"

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
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
#include "common/net/timer.h"

namespace culvert::kube {
namespace {

constexpr std::string_view kScope = "kube";
// Of names and versions: objects of a list at once. An object has 1.5 MB at most, and so a few of them are never more than the client takes.
constexpr std::size_t kPage = 250, kLeastPage = 8;

// Only of kinds whose status we write.
config::Standing standing_of(config::Kind kind, const std::string& json, const std::string& version) {
  if (!config::has_status(kind) || json.empty()) return {};
  config::Standing standing{.version = version, .status = member_of(json, {"status"})};
  const std::string generation = member_of(json, {"metadata", "generation"});
  std::from_chars(generation.data(), generation.data() + generation.size(), standing.generation);
  return standing;
}

struct Named {
  Key key;
  std::string version;
};
struct Names {
  std::vector<Named> objects;
  std::string next = {};  // where the list goes on; empty: nowhere
};

// What the objects of a list are called, and in which versions they are.
Result<Names> names_in(const std::string& answer) {
  boost::system::error_code error;
  const boost::json::value list = boost::json::parse(answer, error);
  const auto text = [](const boost::json::value& of, std::string_view pointer) {
    const auto found = of.try_at_pointer(pointer);
    return found && found->is_string() ? std::string(found->as_string()) : std::string();
  };
  const auto items = error ? boost::system::result<const boost::json::value&>(error) : list.try_at_pointer("/items");
  if (!items || !(items->is_array() || items->is_null())) return failure("the API server's answer is no list");
  Names names{.objects = {}, .next = text(list, "/metadata/continue")};
  if (items->is_null()) return names;  // how Go writes an empty one
  for (const auto& item : items->as_array())
    names.objects.push_back({.key = {text(item, "/metadata/namespace"), text(item, "/metadata/name")},
                             .version = text(item, "/metadata/resourceVersion")});
  return names;
}

// Versions of one object are numbers that grow.
bool is_at_least(const std::string& held, const std::string& wanted) {
  return held.size() != wanted.size() ? held.size() > wanted.size() : held >= wanted;
}

}  // namespace

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

namespace {

std::vector<std::string> older_versions(config::Kind kind) {
  const config::CustomKind* custom = config::find_kind(kind);
  if (custom == nullptr) return {};
  return {std::next(custom->versions.begin()), custom->versions.end()};
}

}  // namespace

struct Source::State {
  // One collection.
  struct Part {
    Wanted wanted;
    std::map<Key, std::string>
        unread;  // whose newest version was told to be too much to read, and which that is, if it can be seen
    std::string trouble;
    bool synced = false;
    bool absent = false;  // not installed
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

  // Whoever still waits in catch_up() keeps this, not the watches.
  void parts_end() {
    for (const auto& part : parts) part->watch.reset();
  }

  void add(const Wanted& wanted, telemetry::Registry& registry) {
    Part& part = *parts.emplace_back(std::make_unique<Part>());
    part.wanted = wanted;
    const Collection of = collection_of(wanted.kind);
    registry.observe("culvert_kube_synced",
                     "1 when the collection is listed and its watch is well, 0 when what is known may be old.",
                     telemetry::Kind::kGauge, [&part] { return part.synced && part.trouble.empty() ? 1.0 : 0.0; },
                     {{"collection", of.text()}});
    part.watch = std::make_unique<Watch>(
        client,
        WatchOptions{
            .of = of, .older = older_versions(wanted.kind), .ns = wanted.ns, .labels = wanted.labels, .fields = wanted.fields},
        [this, &part](Event event) { std::visit([&](auto& what) { on(part, what); }, event); });
  }

  config::Key key_of(const Part& part, const Key& key) const { return {part.wanted.kind, key.ns, key.name}; }

  void on(Part& part, Put& put) {
    if (put.again) return;
    part.unread.erase(put.key);
    config::ParsedFile parsed = config::parse_json(options.name, put.json);
    const config::Key key = key_of(part, put.key);
    const config::Standing standing = standing_of(part.wanted.kind, put.json, put.resource_version);
    for (config::Parsed& one : parsed.objects) {
      if (config::key_of(*one.object) == key)
        change({config::Change::What::kPut, key, options.keep ? options.keep(std::move(one.object)) : std::move(one.object),
                std::move(one.place), standing});
      else invalid(key, "is not what was asked for: " + config::key_of(*one.object).text(), standing);
    }
    std::vector<config::Problem> problems;
    for (config::Broken& broken : parsed.broken) {
      for (config::Problem& problem : broken.problems) {
        if (problem.object.empty()) problem.object = key.text();
        problems.push_back(std::move(problem));
      }
    }
    if (!parsed.broken.empty())
      change({config::Change::What::kInvalid, key, {}, {options.name, 0}, standing}, std::move(problems));
    if (parsed.objects.empty() && parsed.broken.empty()) invalid(key, "is of a version that is not read", standing);
  }

  void on(Part& part, const Gone& gone) {
    part.unread.erase(gone.key);
    change({config::Change::What::kDelete, key_of(part, gone.key), {}, {options.name, 0}, {}});
  }

  void on(Part& part, const Skipped& skipped) {
    const config::Key key = key_of(part, skipped.key);
    if (skipped.key.name.empty()) {
      auto& problems = synced ? pending.problems : first[{part.wanted.kind, "", ""}].problems;
      if (!synced) problems.clear();
      problems.push_back({{options.name, 0}, std::string(config::name(part.wanted.kind)), "", skipped.why, ""});
      tell_soon();
    } else {
      part.unread[skipped.key] = skipped.resource_version;
      invalid(key, skipped.why, standing_of(part.wanted.kind, skipped.json, skipped.resource_version));
    }
  }

  void on(Part& part, const Synced&) {
    part.synced = true;
    log::info(kScope, "listed",
              {log::field("collection", collection_of(part.wanted.kind).text()), log::field("objects", part.watch->held())});
    tell_soon();
  }

  void on(Part& part, const Trouble& trouble) {
    part.trouble = trouble.text;
    log::warn(kScope, trouble.text + (part.synced ? " (what is known stays in force)" : ""));
  }

  void on(Part& part, const Recovered&) {
    log::info(kScope, "is well again", {log::field("collection", collection_of(part.wanted.kind).text())});
    part.trouble.clear();
  }

  // What is not installed when we begin is said in one line (tell_first).
  void on(Part& part, const Served& served) {
    part.absent = served.version.empty();
    const auto kind = log::field("collection", collection_of(part.wanted.kind).text());
    if (part.absent && synced) log::warn(kScope, "is not served any more in a version that is read: it counts as empty", {kind});
    if (!part.absent) log::info(kScope, "is read in another version than before", {kind, log::field("version", served.version)});
  }

  void invalid(const config::Key& key, std::string why, config::Standing standing = {}) {
    change({config::Change::What::kInvalid, key, {}, {options.name, 0}, std::move(standing)},
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

  void say_absent() const {
    std::string names;
    for (const auto& part : parts)
      if (part->absent) names += (names.empty() ? "" : ", ") + collection_of(part->wanted.kind).text();
    if (!names.empty())
      log::warn(kScope, "not installed, or in no version that is read; count as empty and are looked for again: " + names);
  }

  void tell_first() {
    say_absent();
    for (auto& [key, one] : std::exchange(first, {})) {
      for (auto* change : {&one.put, &one.invalid})
        if (*change) pending.changes.push_back(std::move(**change));
      std::ranges::move(one.problems, std::back_inserter(pending.problems));
    }
    synced = true;
    listener(std::exchange(pending, {}));
  }

  // Whether what was told of the object is as new as this version; of an empty one, whether it was told gone.
  bool has_told(const Part& part, const Key& key, const std::string& version) const {
    if (told_soon) return false;
    const auto unread = part.unread.find(key);
    const auto held = unread == part.unread.end() ? part.watch->version_of(key) : unread->second;
    if (!held || version.empty()) return !held && version.empty();
    return held->empty() || is_at_least(*held, version);
  }

  bool has_told_all(const Part& part, const std::vector<Named>& there) const {
    return std::ranges::all_of(there, [&](const Named& one) { return has_told(part, one.key, one.version); }) &&
           part.watch->held() <= there.size();
  }

  // A part of a collection as the API server has it now; nothing where it is not served.
  static net::Task<Result<std::vector<Named>>> names(std::shared_ptr<State> self, const Part& part, std::string ns,
                                                     std::string fields, net::Clock::time_point until) {
    std::vector<Named> all;
    std::size_t page = kPage;
    for (std::string next = {}; *self->alive;) {
      Request request = list({.of = part.watch->of(), .ns = ns}, {{"limit", std::to_string(page)}});
      if (!fields.empty()) request.query.emplace_back("fieldSelector", fields);
      if (!next.empty()) request.query.emplace_back("continue", next);
      request.metadata = true;
      request.timeout =
          std::chrono::ceil<std::chrono::milliseconds>(std::max(until - net::Clock::now(), net::Clock::duration(1)));
      const auto answer = co_await self->client.exchange(request);
      if (!answer && page != kLeastPage && net::Clock::now() < until) {
        page = kLeastPage;
        continue;
      }
      if (!answer) co_return std::unexpected(answer.error());
      if (answer->status == kNotFound) co_return all;
      if (!is_success(answer->status)) co_return std::unexpected(refusal(request, answer->status, answer->body));
      auto found = names_in(answer->body);
      if (!found) co_return std::unexpected(std::move(found).error());
      std::ranges::move(found->objects, std::back_inserter(all));
      next = std::move(found->next);
      if (next.empty()) co_return all;
    }
    co_return failure("shutting down");
  }

  static Error not_brought(const Part& part, const std::string& what) {
    return Error{"the watch has not brought " + what + (part.trouble.empty() ? "" : ": " + part.trouble)};
  }

  static net::Task<Status> catch_up(std::shared_ptr<State> self, config::Key key, std::chrono::milliseconds patience) {
    const auto part = std::ranges::find_if(self->parts, [&](const auto& one) { return one->wanted.kind == key.kind; });
    if (part == self->parts.end()) co_return failure(std::string(config::name(key.kind)) + " is not watched");
    const auto until = net::Clock::now() + patience;
    const auto there = co_await names(self, **part, key.name_space, "metadata.name=" + key.name, until);
    if (!there) co_return std::unexpected(there.error());
    const std::string version = there->empty() ? "" : there->front().version;  // empty: there is no such object
    while (*self->alive && !self->has_told(**part, {key.name_space, key.name}, version)) {
      if (net::Clock::now() >= until) co_return std::unexpected(not_brought(**part, key.text() + " as the API server has it"));
      co_await net::sleep_for(self->client.loop(), std::chrono::milliseconds(1));
    }
    if (!*self->alive) co_return failure("shutting down");
    co_return Status{};
  }

  // Asked again and again, since what has gone is known only by its absence.
  static net::Task<Status> catch_up_all(std::shared_ptr<State> self, std::vector<config::Kind> kinds,
                                        std::chrono::milliseconds patience) {
    const auto until = net::Clock::now() + patience;
    for (const auto& part : self->parts) {
      if (!std::ranges::contains(kinds, part->wanted.kind)) continue;
      net::Clock::duration pause = std::chrono::milliseconds(20);
      for (bool told = false; !told; pause = std::min<net::Clock::duration>(2 * pause, std::chrono::milliseconds(250))) {
        const auto there = co_await names(self, *part, part->wanted.ns, part->wanted.fields, until);
        if (!there) co_return std::unexpected(there.error());
        if (!*self->alive) co_return failure("shutting down");
        told = self->has_told_all(*part, *there);
        if (!told && net::Clock::now() + pause >= until)
          co_return std::unexpected(not_brought(*part, collection_of(part->wanted.kind).text() + " as the API server has them"));
        if (!told) co_await net::sleep_for(self->client.loop(), pause);
      }
    }
    co_return Status{};
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
    : state_(std::make_shared<State>(client, std::move(options), registry, std::move(listener))) {}
Source::~Source() {
  *state_->alive = false;
  state_->parts_end();
}

net::Task<Status> Source::catch_up(config::Key key, std::chrono::milliseconds patience) {
  return State::catch_up(state_, std::move(key), patience);
}

net::Task<Status> Source::catch_up_all(std::vector<config::Kind> kinds, std::chrono::milliseconds patience) {
  return State::catch_up_all(state_, std::move(kinds), patience);
}

Collection Source::served(config::Kind kind) const {
  const auto part = std::ranges::find(state_->parts, kind, [](const auto& one) { return one->wanted.kind; });
  return part == state_->parts.end() ? collection_of(kind) : (*part)->watch->of();
}

bool Source::synced() const { return state_->synced; }

std::vector<std::string> Source::troubles() const {
  std::vector<std::string> out;
  for (const auto& part : state_->parts) {
    if (part->synced && part->trouble.empty()) continue;
    out.push_back(collection_of(part->wanted.kind).text() + ": " + (part->trouble.empty() ? "not listed yet" : part->trouble));
  }
  return out;
}

}  // namespace culvert::kube
