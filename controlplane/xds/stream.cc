#include "controlplane/xds/stream.h"

#include <algorithm>
#include <utility>

namespace culvert::controlplane {
namespace {

constexpr std::size_t kMostNodeName = 253;                                            // a name of Kubernetes
constexpr Type kInOrder[] = {Type::kAuthorization, Type::kAddress, Type::kWorkload};  // policies first

std::optional<Type> type_of(std::string_view url) {
  for (const Type type : kInOrder) {
    if (type_url(type) == url) return type;
  }
  return std::nullopt;
}

}  // namespace

std::vector<std::shared_ptr<const std::string>> Push::message() const {
  std::vector<std::shared_ptr<const std::string>> out;
  if (all) out.emplace_back(all, &all->encoded);
  std::string rest = xds::encode_response(type_url(type), nonce, resources, removed);
  if (knows_sums) xds::append_sums_to_response(rest, asked);
  out.push_back(std::make_shared<const std::string>(std::move(rest)));
  return out;
}

Stream::Heard Stream::receive(xds::Request request, const Snapshot& snapshot) {
  const std::optional<Type> type = type_of(request.type_url);
  if (!type) return {Heard::What::kUnknownType, std::nullopt, ""};
  Channel& channel = at(*type);
  const auto named = request.node.metadata.find("NODE_NAME");
  if (node_.empty() && named != request.node.metadata.end() && named->second.size() <= kMostNodeName) node_ = named->second;
  if (const auto why = impossible(channel, request); !why.empty()) return {Heard::What::kImpossible, type, std::string(why)};
  const bool first = !channel.progress.subscribed;
  if (first || !request.subscribe.empty() || !request.unsubscribe.empty()) subscribe(*type, channel, request, snapshot);
  if (request.nonce.empty()) return {Heard::What::kSubscription, type, ""};
  if (request.nonce != channel.nonce) return {Heard::What::kStale, type, ""};
  if (channel.differing) {
    channel.held = std::move(request.initial_versions);
    channel.nonce.clear();
    channel.progress.waiting = false;
    return {Heard::What::kHeld, type, ""};
  }
  answered(channel, request, snapshot.table(*type));
  return {request.error.empty() ? Heard::What::kAck : Heard::What::kNack, type, request.error};
}

// Why a request cannot be, of what has to do with sums; empty: it can.
std::string_view Stream::impossible(const Channel& channel, const xds::Request& request) {
  const bool names = !request.subscribe.empty() || !request.unsubscribe.empty();
  if (!request.sums.empty()) {
    if (channel.progress.subscribed) return "sums of what is held come with the first request only";
    if (names || !request.initial_versions.empty()) return "sums are of everything that is held, and come with no names";
  }
  if (!channel.differing) return "";
  if (names) return "names are asked for before it is said what is held";
  if (!channel.progress.waiting || request.nonce != channel.nonce) return "";
  if (!request.error.empty()) return "what is held was asked for, and is not said";
  const auto asked = [&](const auto& entry) { return channel.differing->parts[xds::part_of(entry.first)]; };
  return std::ranges::all_of(request.initial_versions.all(), asked) ? "" : "it is said to be held what was not asked for";
}

void Stream::answered(Channel& channel, const xds::Request& request, const Table& table) {
  Progress& progress = channel.progress;
  channel.nonce.clear();
  progress.waiting = false;
  if (request.error.empty()) {
    progress.acknowledged = channel.nonce_epoch;
    progress.refusals.taken();
  } else {
    progress.refusals.refused(request.error, progress.answered, channel.nonce_epoch, table);
  }
  if (channel.nonce_whole) progress.answered = channel.nonce_epoch;
}

// The first request of a type subscribes to everything, unless it names something. Subscribing and unsubscribing "*" at once asks for names only.
void Stream::subscribe(Type type, Channel& channel, xds::Request& request, const Snapshot& snapshot) const {
  const bool first = !std::exchange(channel.progress.subscribed, true);
  const bool star = std::ranges::contains(request.subscribe, "*");
  const bool unstar = std::ranges::contains(request.unsubscribe, "*");
  if (first) {
    channel.wildcard = (request.subscribe.empty() || star) && !unstar;
    channel.held = std::move(request.initial_versions);
    channel.knows_sums = request.knows_sums;
    if (!request.sums.empty()) {
      const Listing& listing = snapshot.listing(type);
      channel.differing = std::make_unique<Differing>(listing.sums().differing(request.sums));
      channel.progress.sent = channel.removals_sent = listing.epoch();
    }
  } else if (unstar) {
    channel.wildcard = false;
  } else if (star && !channel.wildcard) {
    channel.wildcard = true;
    channel.progress.sent = channel.removals_sent = 0;
  }
  for (const std::string& name : request.subscribe) {
    if (name == "*") continue;
    if (first && !channel.wildcard && channel.held.find(name)) channel.demand.follow(name);
    else channel.demand.ask(name);
  }
  for (const std::string& name : request.unsubscribe) channel.demand.drop(name);
  channel.demand.runs_on(channel.wildcard ? "" : node_);
}

Demand::Source Stream::source(Type type, const Channel& channel, const Snapshot& snapshot) {
  const bool by_name = type == Type::kAddress && (!channel.wildcard || channel.demand.any());
  return {snapshot.table(type), by_name ? &snapshot.lookup() : nullptr};
}

bool Stream::has_puts(Type type, const Snapshot& snapshot) const {
  const Channel& channel = at(type);
  return channel.progress.subscribed &&
         (!channel.answered || channel.demand.pending() || snapshot.table(type).newest_put() > channel.progress.sent);
}

bool Stream::has_removals(Type type, const Snapshot& snapshot) const {
  const Channel& channel = at(type);
  return channel.progress.subscribed && (!channel.gone.empty() || snapshot.table(type).newest_removal() > channel.removals_sent);
}

bool Stream::addresses_sent(const Snapshot& snapshot) const {
  return !has_puts(Type::kAddress, snapshot) && !has_puts(Type::kWorkload, snapshot) && !has_removals(Type::kAddress, snapshot) &&
         !has_removals(Type::kWorkload, snapshot);
}

void Stream::collect(Type type, const Snapshot& snapshot, bool puts, bool removals, Push& push) {
  Channel& channel = at(type);
  const Demand::Source from = source(type, channel, snapshot);
  Demand::Answer answer{push.resources, push.removed};
  const bool first = !std::exchange(channel.answered, true);
  const bool nothing_held = channel.held.empty() && !channel.demand.pending();
  if (first && !channel.wildcard) channel.demand.recall(channel.held, from, gone_of(type, channel, push));
  channel.demand.take(from, answer);
  if (!first) return collect_changes(channel, from, puts, removals, answer);
  if (channel.wildcard && nothing_held && !channel.differing && type == Type::kAddress) push.all = snapshot.whole();
  else if (channel.wildcard) collect_difference(channel, type, snapshot, answer, gone_of(type, channel, push));
  for (const std::string& name : channel.gone) channel.gone_bytes += sizeof(std::string) + name.size();
  if (channel.differing) collect_changes(channel, from, puts, removals, answer);
  channel.held = {};
  channel.differing.reset();
}

// What the client held when it came and what is no more: of policies it is told later.
std::vector<std::string>& Stream::gone_of(Type type, Channel& channel, Push& push) {
  return type == Type::kAuthorization ? channel.gone : push.removed;
}

// What the client held when it came is compared with what there is, of one that came with sums in the parts that differ. Only names of which the last
// listing says something else than the client, or that have changed since, are looked at, in order.
void Stream::collect_difference(const Channel& channel, Type type, const Snapshot& snapshot, Demand::Answer& answer,
                                std::vector<std::string>& gone) {
  const Table& table = snapshot.table(type);
  const xds::Versions& held = channel.held;
  const xds::Parts* parts = channel.differing ? &channel.differing->parts : nullptr;
  if (parts && parts->none()) return;
  const auto put = [&](std::string_view name, const Resource& resource) {
    if (!answer.given.contains(name)) answer.resources.push_back(resource.encoded);
  };
  if (held.empty() && !parts) {
    for (const auto& [name, resource] : table.resources()) put(name, resource);
    return;
  }
  const Listing& listing = snapshot.listing(type);
  const xds::Versions of_parts = parts ? listing.of_parts(*parts) : xds::Versions();
  std::vector<std::string_view> names = xds::Versions::differing(held, parts ? of_parts : listing.versions());
  table.after(listing.epoch(), [&](std::string_view name, const Resource*) {
    if (!parts || (*parts)[xds::part_of(name)]) names.push_back(name);
  });
  std::ranges::sort(names);
  const auto twice = std::ranges::unique(names);
  names.erase(twice.begin(), twice.end());
  for (const std::string_view name : names) {
    const Resource* resource = table.find(name);
    const auto version = held.find(name);
    if (resource && !(version && resource->is_of(*version))) put(name, *resource);
    if (!resource && version && !answer.nobody.contains(name)) gone.emplace_back(name);
  }
}

void Stream::collect_changes(Channel& channel, const Demand::Source& source, bool puts, bool removals, Demand::Answer& answer) {
  const Epoch from = !removals ? channel.progress.sent
                     : !puts   ? channel.removals_sent
                               : std::min(channel.progress.sent, channel.removals_sent);
  source.table.after(from, [&](std::string_view name, const Resource* resource) {
    if (channel.differing && channel.differing->parts[xds::part_of(name)]) return;  // what it held there is compared already
    const bool put = resource && puts && resource->epoch > channel.progress.sent;
    const bool gone = !resource && removals;
    const bool asked = put ? channel.demand.put(name, source, answer) : gone && channel.demand.gone(name, answer);
    if (!channel.wildcard || asked) return;
    if (put && (!channel.demand.any() || answer.given.insert(name).second)) answer.resources.push_back(resource->encoded);
    if (gone) answer.removed.emplace_back(name);
  });
  if (!removals) return;
  channel.gone_bytes = 0;
  for (std::string& name : std::exchange(channel.gone, {})) {
    if (!source.table.find(name)) answer.removed.push_back(std::move(name));
  }
}

std::string Stream::expect_answer(Channel& channel, Epoch epoch) {
  channel.nonce = std::to_string(epoch) + "." + std::to_string(++count_);
  channel.nonce_epoch = epoch;
  channel.progress.waiting = true;
  return channel.nonce;
}

std::optional<Push> Stream::question(Type type) {
  Channel& channel = at(type);
  if (!channel.differing || channel.differing->parts.none() || std::exchange(channel.differing->asked, true)) return std::nullopt;
  return Push{.type = type,
              .nonce = expect_answer(channel, channel.progress.sent),
              .all = nullptr,
              .resources = {},
              .removed = {},
              .knows_sums = true,
              .asked = channel.differing->parts};
}

std::optional<Push> Stream::next(Type type, const Snapshot& snapshot) {
  Channel& channel = at(type);
  if (!channel.progress.subscribed || channel.progress.waiting) return std::nullopt;
  const bool puts = has_puts(type, snapshot);
  const bool first = !channel.answered;
  // Workloads still name what they named: the removal of a policy waits for them, and for the request that asks for them.
  const bool removals = has_removals(type, snapshot) && (type != Type::kAuthorization || (addresses_sent(snapshot) && !first));
  const bool compared = first && !channel.differing;  // all that it held with all that there is
  const bool owes = has_removals(type, snapshot) && !removals && !compared;
  if (!puts && !removals) {
    if (!owes) channel.progress.answered = snapshot.epoch();
    return std::nullopt;
  }

  channel.progress.refusals.sending(snapshot.table(type), channel.progress.sent);
  Push push{.type = type, .nonce = "", .all = nullptr, .resources = {}, .removed = {}, .knows_sums = first && channel.knows_sums};
  collect(type, snapshot, puts, removals, push);
  const bool whole = channel.gone.empty() && !owes;
  const Epoch epoch = push.all ? push.all->epoch : snapshot.epoch();
  channel.progress.sent = epoch;
  if (removals || compared) channel.removals_sent = epoch;
  if (!first && push.resources.empty() && push.removed.empty()) {  // nothing of it is this client's
    if (whole) channel.progress.answered = snapshot.epoch();
    return std::nullopt;
  }
  push.nonce = expect_answer(channel, epoch);
  channel.nonce_whole = whole;
  return push;
}

std::vector<Push> Stream::poll(const Snapshot& snapshot) {
  std::vector<Push> out;
  const auto step = [&](Type type) {
    if (auto push = next(type, snapshot)) out.push_back(std::move(*push));
  };
  for (const Type type : kInOrder)
    if (auto push = question(type)) out.push_back(std::move(*push));
  step(Type::kAuthorization);
  // Workloads may name what is still waiting for its turn: then they wait as well.
  if (!has_puts(Type::kAuthorization, snapshot)) {
    step(Type::kAddress);
    step(Type::kWorkload);
  }
  step(Type::kAuthorization);  // removals, if nothing of its kind is under way
  return out;
}

Epoch Stream::sent(const Snapshot& snapshot) const {
  Epoch least = snapshot.epoch();
  for (const Type type : kInOrder) {
    if (has_puts(type, snapshot)) least = std::min(least, at(type).progress.sent);
    if (has_removals(type, snapshot)) least = std::min(least, at(type).removals_sent);
  }
  return least;
}

std::size_t Stream::kept() const {
  std::size_t out = 0;
  for (const Channel& channel : channels_) {
    // What is held becomes names, and so do its addresses, when it wants only what it names.
    const std::size_t names = channel.wildcard ? 0 : 3 * Demand::kEntry * channel.held.size();
    out += channel.demand.kept() + names + (channel.held.empty() ? 0 : channel.held.memory()) + channel.gone_bytes +
           (channel.differing ? sizeof(Differing) : 0);
  }
  return out;
}

bool Stream::beginning() const {
  return std::ranges::any_of(channels_, [](const Channel& channel) { return channel.differing != nullptr; });
}

bool Stream::current(const Snapshot& snapshot) const {
  return std::ranges::none_of(
      kInOrder, [&](Type type) { return at(type).progress.waiting || has_puts(type, snapshot) || has_removals(type, snapshot); });
}

}  // namespace culvert::controlplane
