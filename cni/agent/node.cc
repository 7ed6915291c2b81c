#include "cni/agent/node.h"

#include <algorithm>
#include <chrono>
#include <format>
#include <utility>

#include "bpf/loader/cgroup.h"
#include "cni/redirect/netns.h"
#include "common/base/log.h"

namespace culvert::agent {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kScope = "node";
constexpr auto kTick = 1s;
constexpr auto kZtunnelsReturn = 30s;  // twice the longest pause between their attempts to connect

std::string uid_of(const config::Pod& pod) {
  const auto& meta = pod.metadata;
  return meta.uid.empty() ? meta.name_space + "/" + meta.name : meta.uid;
}

template <class T>
std::shared_ptr<const T> as(const config::ObjectPtr& object) {
  return {object, std::get_if<T>(object.get())};
}

std::string_view name(Member::State state) {
  switch (state) {
    case Member::State::kJoining: return "joining";
    case Member::State::kEnrolled: return "enrolled";
    case Member::State::kLeaving: return "leaving";
    case Member::State::kGone: return "gone";
  }
  return "";
}

}  // namespace

Result<std::unique_ptr<Node>> Node::open(net::Loop& loop, const Settings& settings) {
  auto status = StatusFolder::open(settings.config_dir, settings.node_name);
  if (!status) return std::unexpected(std::move(status).error());
  auto datapath = bpf::Datapath::load({.pin_dir = settings.pin_dir, .cgroup_root = settings.cgroup_root, .host_netns_cookie = 0});
  if (!datapath) return std::unexpected(std::move(datapath).error().during("loading the kernel programs"));
  std::unique_ptr<Node> node(new Node(loop, settings, *std::move(datapath), *std::move(status)));
  const auto captured = node->datapath_.known_pods();
  if (!captured) return std::unexpected(captured.error().during("reading what an earlier agent captured"));
  node->captured_before_.insert(captured->begin(), captured->end());
  node->exempt_before_ = node->datapath_.exempt_cgroups().value_or(std::vector<std::uint64_t>());
  node->exempt_before_until_ = net::Clock::now() + kZtunnelsReturn;
  if (auto listening = node->listen(); !listening) return std::unexpected(std::move(listening).error());
  node->find_kubelet();
  return node;
}

Node::Node(net::Loop& loop, const Settings& settings, bpf::Datapath datapath, StatusFolder status)
    : loop_(loop), settings_(settings), datapath_(std::move(datapath)), status_(std::move(status)), timer_(loop) {}

Status Node::listen() {
  const auto of_pod = [this](std::string_view uid, auto act) {
    if (const auto found = member(std::string(uid))) act(*found);
  };
  auto zds =
      ZdsEndpoint::open(loop_, settings_.ztunnel_socket,
                        {.arrived = [this](pid_t pid) { return ztunnel_arrived(pid); },
                         .synchronised =
                             [this](pid_t pid) {
                               log::info(kScope, "ztunnel has all pods", {log::field("pid", pid)});
                               if (auto filled = refill_slots(); !filled)
                                 health_.failing("slots", "fill_slots", filled.error().text);
                             },
                         .left = [this](pid_t pid) { ztunnel_left(pid); },
                         .added = [of_pod](auto uid, auto error) { of_pod(uid, [&](Member& m) { m.acknowledged(error); }); },
                         .removed = [of_pod](auto uid) { of_pod(uid, [](Member& m) { m.taken(); }); }});
  if (!zds) return std::unexpected(std::move(zds).error());
  zds_ = *std::move(zds);
  around_ = std::make_unique<Surroundings>(Surroundings{.loop = loop_,
                                                        .settings = settings_,
                                                        .datapath = datapath_,
                                                        .zds = *zds_,
                                                        .status = status_,
                                                        .health = health_,
                                                        .active = [this] { return active_; },
                                                        .settled = [this] { activate(); },
                                                        .refill_slots = [this] { return refill_slots(); }});
  return {};
}

// --- configuration -------------------------------------------------------------------------------------------------

void Node::apply(const config::Diff& diff) {
  if (!begun_ && !diff.problems.empty()) trustworthy_ = false;
  for (const auto& change : diff.changes) health_.recovered("configuration " + change.place.file);
  for (const auto& problem : diff.problems) {
    log::error(kScope, "configuration", {log::field("problem", problem.text())});
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
  if (const auto found = member(known->second.uid)) found->pod_deleted();
  pods_.erase(known);
}

void Node::reconcile(Known& known) {
  const auto space = namespaces_.find(known.pod->metadata.name_space);
  auto decision = decide(*known.pod, space == namespaces_.end() ? nullptr : space->second.get(), settings_.rules);
  if (decision != known.decision) {
    const auto name = known.pod->metadata.name_space + "/" + known.pod->metadata.name;
    for (const auto& note : decision.notes) log::warn(kScope, note, {log::field("pod", name)});
    log::info(kScope, text(decision.verdict), {log::field("pod", name)});
  }
  known.decision = decision;
  auto found = member(known.uid);
  if (found == nullptr) {
    const bool captured = captured_before(*known.pod);
    if (!decision.enrolled() && !captured) return;
    found = std::make_shared<Member>(*around_, known.uid, captured);
    members_[known.uid] = found;
  }
  found->wish(known.pod, std::move(decision));
}

std::shared_ptr<Member> Node::member(const std::string& uid) const {
  const auto found = members_.find(uid);
  return found == members_.end() || found->second->state() == Member::State::kGone ? nullptr : found->second;
}

bool Node::captured_before(const config::Pod& pod) const {
  if (captured_before_.empty()) return false;
  const std::string path(config::value_of(pod.metadata.annotations, kNetnsAnnotation));
  const auto netns = redirect::open_netns(path.c_str());
  if (!netns) return false;
  const auto cookie = redirect::netns_cookie(netns->get());
  return cookie && captured_before_.contains(*cookie);
}

// --- the kernel programs -------------------------------------------------------------------------------------------

void Node::begin() {
  begun_ = true;
  std::set<std::string> enrolled;
  for (const auto& [key, known] : pods_) {
    if (known.decision.enrolled()) enrolled.insert(key.name_space + "/" + key.name);
  }
  if (auto pruned = status_.prune(enrolled); !pruned) health_.failing("status folder", "unpublish", pruned.error().text);
  forget_strangers();
  activate();
  tick();
}

// Pods that an earlier agent captured and that are no pods any more. Where the configuration could not be read whole, they may
// be pods still: then they stay captured, and refused while no ztunnel serves them.
void Node::forget_strangers() {
  if (!trustworthy_) return;
  std::set<std::uint64_t> ours;
  for (const auto& [uid, found] : members_) ours.insert(found->netns_cookie());
  for (const auto cookie : captured_before_) {
    if (ours.contains(cookie)) continue;
    log::info(kScope, "a captured pod is gone", {log::field("netns_cookie", cookie)});
    for (const auto step : {&bpf::Datapath::withdraw, &bpf::Datapath::detach_lookup, &bpf::Datapath::forget}) {
      if (auto done = (datapath_.*step)(cookie); !done)
        health_.failing(std::format("captured pod {}", cookie), "forget", done.error().text);
    }
  }
}

// Ours replace an earlier agent's programs only when every pod that those capture is whole with ours: never swap to empty maps.
void Node::activate() {
  if (!begun_ || active_) return;
  const bool all = std::ranges::all_of(members_, [&](const auto& entry) {
    return !captured_before_.contains(entry.second->netns_cookie()) || entry.second->ready_for_activation();
  });
  if (!all) return;
  if (auto done = datapath_.activate(); !done) {
    log::error(kScope, "putting the kernel programs in force", {log::field("error", done.error().text)});
    health_.unready("kernel programs", done.error().text);
    return;
  }
  log::info(kScope, "the kernel programs are in force");
  active_ = true;
  captured_before_.clear();
  health_.unready("kernel programs", "");
  for (const auto& [uid, found] : members_) found->wake();
}

void Node::tick() {
  for (const auto& [uid, found] : members_) found->look();
  std::erase_if(members_, [](const auto& entry) { return entry.second->state() == Member::State::kGone; });
  activate();
  find_kubelet();
  note_missing_ztunnel();
  if (!exempt_before_.empty() && !ztunnel_cgroups_.empty() && net::Clock::now() > exempt_before_until_) {
    exempt_before_.clear();
    if (auto done = exempt(); !done) health_.failing("ztunnel", "zds", done.error().text);
  }
  timer_.arm(kTick, [this] { tick(); });
}

void Node::note_missing_ztunnel() {
  const bool missing = !members_.empty() && !zds_->has_ztunnel();
  if (missing == std::exchange(ztunnel_missing_, missing)) return;
  if (!missing) return health_.recovered("ztunnels");
  health_.failing("ztunnels", "no_ztunnel", "none is connected: pods that join wait, captured connections are refused");
}

void Node::find_kubelet() {
  if (settings_.kubelet_cgroups.empty()) return;
  const auto root = bpf::cgroup2_root();
  if (!root) return health_.failing("kubelet cgroups", "kubelet", root.error().text);
  std::vector<std::uint64_t> ids;
  for (const auto& folder : settings_.kubelet_cgroups) {
    const auto id = bpf::cgroup_id(*root / folder);  // an absolute one stands for itself
    if (id) {
      ids.push_back(*id);
      health_.recovered("kubelet cgroup " + folder);
    } else {
      health_.failing("kubelet cgroup " + folder, "kubelet", id.error().text);
    }
  }
  if (ids == kubelet_) return;
  if (auto set = datapath_.set_kubelet_cgroups(ids); !set) return health_.failing("kubelet cgroups", "kubelet", set.error().text);
  health_.recovered("kubelet cgroups");
  kubelet_ = std::move(ids);
}

// --- ztunnels ------------------------------------------------------------------------------------------------------

Status Node::ztunnel_arrived(pid_t pid) {
  if (pid == 0) return failure("its process cannot be seen from here (run culvert-node in the host's PID namespace)");
  const auto root = bpf::cgroup2_root();
  if (!root) return std::unexpected(root.error());
  const auto folder = bpf::cgroup_of(pid, *root);
  if (!folder) return std::unexpected(folder.error());
  const auto id = bpf::cgroup_id(*folder);
  if (!id) return std::unexpected(id.error());
  const auto connected = zds_->ztunnels();
  std::erase_if(ztunnel_cgroups_, [&](const auto& entry) { return !std::ranges::contains(connected, entry.first); });
  ztunnel_cgroups_[pid] = *id;
  auto exempted = exempt();
  if (!exempted) {
    ztunnel_cgroups_.erase(pid);
    health_.failing("ztunnel", "zds", exempted.error().text);
    return exempted;
  }
  health_.recovered("ztunnel");
  return {};
}

// The cgroup of the last one stays exempt: the next usually comes back to it.
void Node::ztunnel_left(pid_t pid) {
  if (ztunnel_cgroups_.size() > 1) {
    ztunnel_cgroups_.erase(pid);
    if (auto done = exempt(); !done) health_.failing("ztunnel", "zds", done.error().text);
  }
  if (auto filled = refill_slots(); !filled) health_.failing("slots", "fill_slots", filled.error().text);
}

Status Node::exempt() {
  std::set<std::uint64_t> ids(exempt_before_.begin(), exempt_before_.end());
  for (const auto& [pid, id] : ztunnel_cgroups_) ids.insert(id);
  return datapath_.set_exempt_cgroups(std::vector(ids.begin(), ids.end()));
}

Status Node::refill_slots() {
  for (const auto pid : zds_->ztunnels()) {
    if (auto filled = datapath_.refill_listeners(pid); !filled) return filled;
  }
  health_.recovered("slots");
  return {};
}

// --- what is shown -------------------------------------------------------------------------------------------------

std::vector<Node::PodView> Node::pods() const {
  std::vector<PodView> views;
  for (const auto& [key, known] : pods_) {
    auto& view = views.emplace_back();
    view.name = key.name_space + "/" + key.name;
    view.uid = known.uid;
    view.verdict = agent::name(known.decision.verdict);
    view.why = text(known.decision.verdict);
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
