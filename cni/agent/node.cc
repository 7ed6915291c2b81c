#include "cni/agent/node.h"

#include <algorithm>
#include <chrono>
#include <ranges>
#include <utility>

#include "cni/agent/scope.h"
#include "cni/redirect/netns.h"
#include "common/base/format.h"
#include "common/base/log.h"

namespace culvert::agent {
namespace {

using namespace std::chrono_literals;

constexpr auto kTick = 1s;
constexpr auto kLeavePoll = 50ms;

std::string_view name(Member::State state) {
  switch (state) {
    case Member::State::kJoining: return "joining";
    case Member::State::kEnrolled: return "enrolled";
    case Member::State::kLeaving: return "leaving";
    case Member::State::kGone: return "gone";
  }
  return "";
}

// Of the network namespace that the first process lives in: the node's, where we see the node's processes. 0: cannot be read.
std::uint64_t first_netns_cookie() {
  const auto first = redirect::open_netns("/proc/1/ns/net");
  return first ? redirect::netns_cookie(first->get()).value_or(0) : 0;
}

}  // namespace

Result<std::unique_ptr<Node>> Node::open(net::Loop& loop, const Settings& settings, Cluster& cluster, Sandboxes& sandboxes) {
  auto datapath = bpf::Datapath::load({.pin_dir = settings.pin_dir,
                                       .cgroup_root = settings.cgroup_root,
                                       .host_netns_cookie = settings.kubernetes() ? first_netns_cookie() : 0});
  if (!datapath) return std::unexpected(std::move(datapath).error().during("loading the kernel programs"));
  std::unique_ptr<Node> node(new Node(loop, settings, cluster, sandboxes, *std::move(datapath)));
  const auto captured = node->datapath_.known_pods();
  if (!captured) return std::unexpected(captured.error().during("reading what an earlier agent captured"));
  for (const auto& [cookie, inode] : *captured) node->strangers_[cookie] = inode;
  for (const auto id : node->datapath_.exempt_cgroups().value_or(std::vector<std::uint64_t>())) node->exempt_.try_emplace(id);
  node->patience_ = net::Clock::now() + settings.upgrade_patience;
  node->node_cookies_.insert(node->datapath_.host_netns_cookie());
  node->node_cookies_.insert(first_netns_cookie());
  if (auto listening = node->listen(); !listening) return std::unexpected(std::move(listening).error());
  node->find_kubelet();
  node->expel_ended_ztunnels();
  return node;
}

Node::Node(net::Loop& loop, const Settings& settings, Cluster& cluster, Sandboxes& sandboxes, bpf::Datapath datapath)
    : loop_(loop),
      settings_(settings),
      rules_(settings.rules),
      cluster_(cluster),
      sandboxes_(sandboxes),
      datapath_(std::move(datapath)),
      timer_(loop),
      begun_signal_(loop) {}

Status Node::listen() {
  const auto of_pod = [this](std::string_view uid, auto act) {
    if (const auto found = member(std::string(uid))) act(*found);
  };
  auto zds =
      ZdsEndpoint::open(loop_, settings_.ztunnel_socket,
                        {.arrived = [this](pid_t pid) { return ztunnel_arrived(pid); },
                         .synchronised = [this](pid_t pid) { ztunnel_synchronised(pid); },
                         .left = [this](pid_t) { ztunnel_left(); },
                         .added = [of_pod](auto uid, auto error) { of_pod(uid, [&](Member& m) { m.acknowledged(error); }); },
                         .removed = [of_pod](auto uid) { of_pod(uid, [](Member& m) { m.taken(); }); }});
  if (!zds) return std::unexpected(std::move(zds).error());
  zds_ = *std::move(zds);
  around_ = std::make_unique<Surroundings>(
      Surroundings{.loop = loop_,
                   .settings = settings_,
                   .datapath = datapath_,
                   .zds = *zds_,
                   .cluster = cluster_,
                   .sandboxes = sandboxes_,
                   .health = health_,
                   .missed = missed_,
                   .active = [this] { return active_; },
                   .settled = [this] { activate(); },
                   .refill_slots = [this] { return refill_slots(); },
                   .claim = [this](Member& m, std::uint64_t c) { return claim(m, c); },
                   .abandon = [this](std::uint64_t c) { strangers_[c] = datapath_.netns_inode(c).value_or(0); }});
  return {};
}

// --- configuration -------------------------------------------------------------------------------------------------

void Node::apply(const config::Diff& diff) {
  for (const auto& change : diff.changes) health_.recovered("configuration " + change.place.file);
  for (const auto& problem : diff.problems) {
    log::error(scope::kNode, "configuration", {log::field("problem", problem.text())});
    health_.failing("configuration " + problem.place.file, "config", problem.text());
  }
  std::set<std::string> touched;  // namespaces first, so that a pod that comes with its namespace is decided once
  for (const auto& change : diff.changes) {
    if (change.key.kind != config::Kind::kNamespace || change.what == config::Change::What::kInvalid) continue;
    touched.insert(change.key.name);
    if (change.what == config::Change::What::kDelete) {
      namespaces_.erase(change.key.name);
    } else {
      namespaces_[change.key.name] = as<config::Namespace>(change.object);
    }
  }
  for (const auto& change : diff.changes) {
    if (change.key.kind != config::Kind::kPod) continue;
    if (change.what == config::Change::What::kPut) put_pod(change.key, change.object);
    if (change.what == config::Change::What::kDelete) pod_gone(change.key);
  }
  for (auto& [key, known] : pods_) {
    if (touched.contains(key.name_space)) reconcile(known);
  }
}

void Node::put_pod(const config::Key& key, const config::ObjectPtr& object) {
  const auto pod = as<config::Pod>(object);
  if (pod->spec.node_name != settings_.node_name) return pod_gone(key);
  if (const auto before = pods_.find(key); before != pods_.end() && before->second.uid != uid_of(*pod)) pod_gone(key);
  auto& known = pods_[key];
  known.pod = pod;
  known.uid = uid_of(*pod);
  reconcile(known);
}

void Node::pod_gone(const config::Key& key) {
  const auto known = pods_.find(key);
  if (known == pods_.end()) return;
  sandboxes_.forget(*known->second.pod);
  if (const auto found = member(known->second.uid)) found->pod_deleted();
  pods_.erase(known);
}

void Node::reconcile(Known& known) {
  const auto space = namespaces_.find(known.pod->metadata.name_space);
  auto found = member(known.uid);
  const auto stranger = found ? std::nullopt : stranger_of(*known.pod);
  const bool captured = found ? found->captured() : stranger.has_value();
  auto decision = decide(*known.pod, space == namespaces_.end() ? nullptr : space->second.get(), captured, rules_);
  note(known, decision);
  if (found == nullptr) {
    if (!decision.enrolled() && !captured) return unsay(*known.pod);
    // A pod that is being made: the plugin brings its namespace, or find_missed() finds it.
    if (!captured && settings_.kubernetes() && sandboxes_.inode(*known.pod) == 0) return;
    found = std::make_shared<Member>(*around_, known.uid, stranger);
    members_[known.uid] = found;
    if (stranger) strangers_.erase(stranger->netns_cookie);
  }
  // Where pods come from a folder, no plugin has to have been called.
  const bool late = settings_.kubernetes() && !captured && !known.asked && !sandboxes_.was_given(*known.pod);
  found->wish(known.pod, std::move(decision), late);
}

void Node::note(Known& known, const Decision& decision) {
  if (known.decision && *known.decision == decision) return;
  const auto& meta = known.pod->metadata;
  const auto pod = log::field("pod", meta.name_space + "/" + meta.name);
  log::info(scope::kNode, text(decision.verdict), {pod});
  for (const auto& problem : decision.notes) {
    log::warn(scope::kNode, problem, {pod});
    cluster_.tell(*known.pod, {.warning = true, .reason = "MeshIgnored", .text = problem});
  }
  const bool wants = config::value_of(meta.labels, kModeLabel) == "ambient";
  if (wants && !decision.enrolled() && decision.verdict != Verdict::kTerminated)
    cluster_.tell(
        *known.pod,
        {.warning = true, .reason = "MeshRefused", .text = std::string("not in the mesh: ").append(text(decision.verdict))});
  known.asked = known.asked || (known.decision && !known.decision->enrolled() && decision.enrolled());
  known.decision = decision;
}

// What an agent before us, or anybody, has said of a pod that is not in the mesh.
void Node::unsay(const config::Pod& pod) {
  if (config::value_of(pod.metadata.annotations, kRedirection).empty()) return;
  loop_.spawn([](Cluster& cluster, std::shared_ptr<const config::Pod> of) -> net::Task<> {
    if (auto said = co_await cluster.say(of, Redirection::kNone); !said)
      log::warn(scope::kNode, said.error().text, {log::field("pod", of->metadata.name)});
  }(cluster_, std::make_shared<const config::Pod>(pod)));
}

// Pods whose network namespace has come to light without the plugin.
void Node::find_missed() {
  if (!settings_.kubernetes()) return;
  for (auto& [key, known] : pods_) {
    if (known.decision && known.decision->enrolled() && member(known.uid) == nullptr) reconcile(known);
  }
}

std::shared_ptr<Member> Node::member(const std::string& uid) const {
  const auto found = members_.find(uid);
  return found == members_.end() || found->second->state() == Member::State::kGone ? nullptr : found->second;
}

// What the kernel captures of a pod that has no member yet.
std::optional<bpf::Captured> Node::stranger_of(const config::Pod& pod) const {
  if (strangers_.empty()) return std::nullopt;
  const auto inode = sandboxes_.inode(pod);
  if (inode == 0) return std::nullopt;
  if (const auto found = std::ranges::find(strangers_ | std::views::values, inode); found.base() != strangers_.end())
    return bpf::Captured{.netns_cookie = found.base()->first, .netns_inode = inode};
  // An agent that ended between taking a pod's sk_lookup away and restoring its namespace has left nothing but the cookie.
  if (!std::ranges::contains(strangers_ | std::views::values, 0U)) return std::nullopt;
  const auto netns = sandboxes_.open(pod);
  if (!netns) return std::nullopt;
  const auto cookie = redirect::netns_cookie(netns->get());
  if (!cookie || !strangers_.contains(*cookie)) return std::nullopt;
  return bpf::Captured{.netns_cookie = *cookie, .netns_inode = inode};
}

Result<bool> Node::claim(Member& member, std::uint64_t cookie) {
  if (node_cookies_.contains(cookie))
    return failure("its network namespace is the node's own: capturing it would capture the node");
  for (const auto& [uid, other] : members_) {
    if (other.get() == &member || other->netns_cookie() != cookie || other->state() == Member::State::kGone) continue;
    if (other->pod_exists())
      return failure(culvert::format("its network namespace is that of pod {} already", other->pod_name()));
    const bool captured = other->captured();
    other->hand_over();
    return captured;
  }
  return strangers_.erase(cookie) != 0;
}

// --- the kernel programs -------------------------------------------------------------------------------------------

void Node::begin() {
  begun_ = true;
  begun_signal_.set();
  std::set<std::string> enrolled;
  for (const auto& [key, known] : pods_) {
    if (known.decision && known.decision->enrolled()) enrolled.insert(key.name_space + "/" + key.name);
  }
  if (auto pruned = cluster_.prune(enrolled); !pruned) health_.failing("status folder", "unpublish", pruned.error().text);
  forget_strangers();
  for (const auto& [cookie, inode] : strangers_)
    log::warn(scope::kNode, "a captured network namespace is no pod's: it stays captured, and refused, until it ends",
              {log::field("netns_cookie", cookie), log::field("inode", inode)});
  zds_->begin();
  activate();
  tick();
}

void Node::forget_strangers() {
  std::erase_if(strangers_, [this](const auto& stranger) {
    const auto cookie = stranger.first;
    if (const auto inode = datapath_.netns_inode(cookie); !inode || *inode != 0) return false;
    for (const auto step : {&bpf::Datapath::withdraw, &bpf::Datapath::detach_lookup, &bpf::Datapath::forget}) {
      if (auto done = (datapath_.*step)(cookie); !done) {
        health_.failing(culvert::format("captured namespace {}", cookie), "forget", done.error().text);
        return false;
      }
    }
    health_.recovered(culvert::format("captured namespace {}", cookie));
    log::info(scope::kNode, "a captured network namespace has ended", {log::field("netns_cookie", cookie)});
    return true;
  });
}

bool Node::whole() const {
  return std::ranges::all_of(members_,
                             [](const auto& entry) { return !entry.second->captured() || entry.second->ready_for_activation(); });
}

// Programs that are in force already, with the maps that we have, are only loaded anew. Another version's are replaced when every pod that
// they capture is whole with ours; one that does not get there is refused after a while, and the others wait no longer.
void Node::activate() {
  if (!begun_ || active_) return;
  const bool complete = !datapath_.fresh() || whole();
  if (!complete && net::Clock::now() < patience_) return;
  if (!complete) log::warn(scope::kNode, "a captured pod is not ready: it is refused until it is");
  if (auto done = datapath_.activate(); !done) {
    log::error(scope::kNode, "putting the kernel programs in force", {log::field("error", done.error().text)});
    health_.unready("kernel programs", done.error().text);
    return;
  }
  log::info(scope::kNode, "the kernel programs are in force");
  active_ = true;
  health_.unready("kernel programs", "");
  for (const auto& [uid, found] : members_) found->wake();
}

void Node::tick() {
  for (const auto& [uid, found] : members_) found->look();
  std::erase_if(members_, [](const auto& entry) { return entry.second->state() == Member::State::kGone; });
  forget_strangers();
  find_missed();
  activate();
  find_kubelet();
  note_missing_ztunnel();
  expel_ended_ztunnels();
  timer_.arm(kTick, [this] { tick(); });
}

net::Task<bool> Node::leave(net::Clock::duration patience) {
  rules_.leaving = true;
  const auto end = net::Clock::now() + patience;
  for (auto& [key, known] : pods_) reconcile(known);
  // Nothing that could be left in order is where only its end is waited for: a socket that nobody answers any more keeps a namespace for minutes.
  const auto captured = [this] {
    return std::ranges::any_of(
        members_, [](const auto& entry) { return entry.second->captured() && entry.second->step() != Step::kAwaitNetns; });
  };
  while (captured() && net::Clock::now() < end) co_await net::sleep_for(loop_, kLeavePoll);
  co_return !captured();
}

// --- what is shown -------------------------------------------------------------------------------------------------

std::vector<Node::PodView> Node::pods() const {
  std::vector<PodView> views;
  for (const auto& [key, known] : pods_) {
    auto& view = views.emplace_back();
    view.name = key.name_space + "/" + key.name;
    view.uid = known.uid;
    const auto verdict = known.decision ? known.decision->verdict : Verdict::kNotLabelled;
    view.verdict = agent::name(verdict);
    view.why = text(verdict);
    view.state = "outside";
    if (const auto found = member(known.uid)) {
      view.state = name(found->state());
      view.step = agent::name(found->step());
      view.error = found->error();
      view.netns_cookie = found->netns_cookie();
    }
  }
  return views;
}

std::vector<bpf::Counter> Node::counters() const { return datapath_.counters().value_or(std::vector<bpf::Counter>()); }

}  // namespace culvert::agent
