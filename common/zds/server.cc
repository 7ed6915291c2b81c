#include "common/zds/server.h"

#include <algorithm>
#include <ranges>
#include <tuple>
#include <utility>

namespace culvert::zds {

Server::Actions Server::add(Pod pod, std::shared_ptr<const Fd> netns, Time now) {
  Actions actions;
  removing_.erase(pod.uid);
  auto& entry = pods_[pod.uid];
  entry = {.pod = std::move(pod), .netns = std::move(netns), .version = ++versions_};
  settle(now, actions);
  return actions;
}

Server::Actions Server::remove(std::string_view uid, Time now) {
  Actions actions;
  if (const auto found = pods_.find(uid); found != pods_.end()) pods_.erase(found);
  removing_.emplace(uid);
  settle(now, actions);
  return actions;
}

Server::Id Server::connected(std::uint64_t started, Time now) {
  auto& peer = peers_[++ids_];
  peer.started = started;
  peer.deadline = now + kPatience;
  return ids_;
}

Server::Actions Server::received(Id who, std::string_view packet, Time now) {
  Actions actions;
  const auto found = peers_.find(who);
  if (found == peers_.end()) return actions;
  auto& peer = found->second;
  if (!peer.greeted) {
    const auto hello = decode_hello(packet);
    peer.greeted = hello.has_value();
    peer.deadline.reset();
    if (!hello) drop(who, hello.error().text, actions);
  } else if (!peer.waiting) {
    drop(who, "an answer to no request", actions);
  } else if (auto error = decode_ack(packet); !error) {
    drop(who, error.error().text, actions);
  } else {
    answered(who, peer, *std::move(error), actions);
  }
  settle(now, actions);
  return actions;
}

void Server::answered(Id who, Peer& peer, std::string error, Actions& actions) {
  const auto request = *std::exchange(peer.waiting, std::nullopt);
  peer.deadline.reset();
  if (const auto* add = std::get_if<Add>(&request)) {
    const auto entry = pods_.find(add->pod.uid);
    const bool current = entry != pods_.end() && entry->second.version == peer.told[add->pod.uid];
    if (current) actions.emplace_back(Added{.uid = add->pod.uid, .by = who, .error = std::move(error)});
  } else if (const auto* del = std::get_if<Del>(&request)) {
    peer.told.erase(del->uid);
  } else if (std::holds_alternative<SnapshotSent>(request)) {
    peer.synchronised = true;
    actions.emplace_back(Synchronised{who});
  }
}

Server::Actions Server::disconnected(Id who, Time now) {
  Actions actions;
  peers_.erase(who);
  settle(now, actions);  // another one may be the newest now
  return actions;
}

std::optional<Server::Time> Server::deadline() const {
  std::optional<Time> first;
  for (const auto& peer : peers_ | std::views::values) {
    if (peer.deadline && (!first || *peer.deadline < *first)) first = peer.deadline;
  }
  return first;
}

Server::Actions Server::expired(Time now) {
  Actions actions;
  std::vector<Id> late;
  for (const auto& [id, peer] : peers_) {
    if (peer.deadline && *peer.deadline <= now) late.push_back(id);
  }
  for (const auto id : late) drop(id, peers_.at(id).greeted ? "no answer within 5s" : "no hello within 5s", actions);
  settle(now, actions);
  return actions;
}

bool Server::has_ztunnel() const { return std::ranges::any_of(peers_ | std::views::values, &Peer::synchronised); }

bool Server::is_newest(Id id) const {
  const auto age = [](const auto& peer) { return std::tuple(peer.second.greeted, peer.second.started, peer.first); };
  const auto newest = std::ranges::max_element(peers_, {}, age);
  return newest != peers_.end() && newest->first == id && newest->second.greeted;
}

// What this peer is to be told now, if anything: the whole protocol is in the order of these lines.
std::optional<Request> Server::next(Id id, const Peer& peer) const {
  for (const auto& uid : peer.told | std::views::keys) {
    if (!pods_.contains(uid)) return Del{uid};
  }
  if (!peer.snapshot_sent || is_newest(id)) {
    for (const auto& [uid, entry] : pods_) {
      const auto told = peer.told.find(uid);
      if (told != peer.told.end() && told->second == entry.version) continue;
      if (entry.netns != nullptr) return Add{entry.pod};
      if (!peer.snapshot_sent) return Keep{uid};  // after the snapshot there is nothing to say about it
    }
  }
  if (!peer.snapshot_sent) return SnapshotSent{};
  return std::nullopt;
}

// False when the request does not fit into a packet: only names that Kubernetes forbids are so long. Then that pod has failed,
// and the peer is asked for its next one.
bool Server::send(Id id, Peer& peer, Request request, Time now, Actions& actions) {
  std::shared_ptr<const Fd> netns;
  if (const auto* add = std::get_if<Add>(&request)) {
    const auto& entry = pods_.find(add->pod.uid)->second;
    netns = entry.netns;
    peer.told[add->pod.uid] = entry.version;
  } else if (const auto* keep = std::get_if<Keep>(&request)) {
    peer.told[keep->uid] = pods_.find(keep->uid)->second.version;
  }
  auto packet = encode(request);
  if (!packet) {
    if (const auto* add = std::get_if<Add>(&request)) {
      actions.emplace_back(Added{.uid = add->pod.uid, .by = id, .error = packet.error().text});
    } else if (const auto* del = std::get_if<Del>(&request)) {
      peer.told.erase(del->uid);
    }
    return false;
  }
  if (std::holds_alternative<SnapshotSent>(request)) peer.snapshot_sent = true;
  actions.emplace_back(Send{.to = id, .packet = *std::move(packet), .netns = std::move(netns)});
  peer.waiting = std::move(request);
  peer.deadline = now + kPatience;
  return true;
}

void Server::settle(Time now, Actions& actions) {
  for (auto& [id, peer] : peers_) {
    while (peer.greeted && !peer.waiting) {
      auto request = next(id, peer);
      if (!request || send(id, peer, *std::move(request), now, actions)) break;
    }
  }
  std::erase_if(removing_, [&](const auto& uid) {
    if (std::ranges::any_of(peers_ | std::views::values, [&](const Peer& peer) { return peer.told.contains(uid); })) return false;
    actions.emplace_back(Removed{uid});
    return true;
  });
}

void Server::drop(Id id, std::string why, Actions& actions) {
  peers_.erase(id);
  actions.emplace_back(Close{.who = id, .why = std::move(why)});
}

}  // namespace culvert::zds
