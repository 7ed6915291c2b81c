#include "cni/agent/node.h"

#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <format>
#include <ranges>
#include <utility>

#include "bpf/loader/cgroup.h"
#include "cni/agent/kubelet.h"
#include "cni/redirect/netns.h"
#include "common/base/log.h"

namespace culvert::agent {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kScope = "node";
constexpr auto kTick = 1s;

std::string uid_of(const config::Pod& pod) {
  const auto& meta = pod.metadata;
  return meta.uid.empty() ? meta.name_space + "/" + meta.name : meta.uid;
}

// The inode of the namespace that a path leads to, 0 when it leads to none. Asks for no descriptor: they may have run out.
std::uint64_t inode_at(std::string_view path) {
  struct stat status{};
  return !path.empty() && ::stat(std::string(path).c_str(), &status) == 0 ? status.st_ino : 0;
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
  for (const auto& [cookie, inode] : *captured) node->strangers_[cookie] = inode;
  for (const auto id : node->datapath_.exempt_cgroups().value_or(std::vector<std::uint64_t>())) node->exempt_.insert(id);
  node->patience_ = net::Clock::now() + settings.upgrade_patience;
  node->node_cookies_.insert(node->datapath_.host_netns_cookie());
  if (const auto first = redirect::open_netns("/proc/1/ns/net"); first)
    node->node_cookies_.insert(redirect::netns_cookie(first->get()).value_or(0));
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
                   .status = status_,
                   .health = health_,
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
  auto found = member(known.uid);
  const auto stranger = found ? std::nullopt : stranger_of(*known.pod);
  const bool captured = found ? found->captured() : stranger.has_value();
  auto decision = decide(*known.pod, space == namespaces_.end() ? nullptr : space->second.get(), captured, settings_.rules);
  if (decision != known.decision) {
    const auto name = known.pod->metadata.name_space + "/" + known.pod->metadata.name;
    for (const auto& note : decision.notes) log::warn(kScope, note, {log::field("pod", name)});
    log::info(kScope, text(decision.verdict), {log::field("pod", name)});
  }
  known.decision = decision;
  if (found == nullptr) {
    if (!decision.enrolled() && !captured) return;
    found = std::make_shared<Member>(*around_, known.uid, stranger);
    members_[known.uid] = found;
    if (stranger) strangers_.erase(stranger->netns_cookie);
  }
  found->wish(known.pod, std::move(decision));
}

std::shared_ptr<Member> Node::member(const std::string& uid) const {
  const auto found = members_.find(uid);
  return found == members_.end() || found->second->state() == Member::State::kGone ? nullptr : found->second;
}

// What the kernel captures of a pod that has no member yet.
std::optional<bpf::Captured> Node::stranger_of(const config::Pod& pod) const {
  const auto inode = inode_at(config::value_of(pod.metadata.annotations, kNetnsAnnotation));
  if (inode == 0) return std::nullopt;
  if (const auto found = std::ranges::find(strangers_ | std::views::values, inode); found.base() != strangers_.end())
    return bpf::Captured{.netns_cookie = found.base()->first, .netns_inode = inode};
  // An agent that ended between taking a pod's sk_lookup away and restoring its namespace has left nothing but the cookie.
  if (!std::ranges::contains(strangers_ | std::views::values, 0U)) return std::nullopt;
  const auto netns = redirect::open_netns(std::string(config::value_of(pod.metadata.annotations, kNetnsAnnotation)).c_str());
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
    if (other->pod_exists()) return failure(std::format("its network namespace is that of pod {} already", other->pod_name()));
    const bool captured = other->captured();
    other->hand_over();
    return captured;
  }
  return strangers_.erase(cookie) != 0;
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
  for (const auto& [cookie, inode] : strangers_)
    log::warn(kScope, "a captured network namespace is no pod's: it stays captured, and refused, until it ends",
              {log::field("netns_cookie", cookie), log::field("inode", inode)});
  activate();
  tick();
}

void Node::forget_strangers() {
  std::erase_if(strangers_, [this](const auto& stranger) {
    const auto cookie = stranger.first;
    if (const auto inode = datapath_.netns_inode(cookie); !inode || *inode != 0) return false;
    for (const auto step : {&bpf::Datapath::withdraw, &bpf::Datapath::detach_lookup, &bpf::Datapath::forget}) {
      if (auto done = (datapath_.*step)(cookie); !done) {
        health_.failing(std::format("captured namespace {}", cookie), "forget", done.error().text);
        return false;
      }
    }
    health_.recovered(std::format("captured namespace {}", cookie));
    log::info(kScope, "a captured network namespace has ended", {log::field("netns_cookie", cookie)});
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
  if (!complete) log::warn(kScope, "a captured pod is not ready: it is refused until it is");
  if (auto done = datapath_.activate(); !done) {
    log::error(kScope, "putting the kernel programs in force", {log::field("error", done.error().text)});
    health_.unready("kernel programs", done.error().text);
    return;
  }
  log::info(kScope, "the kernel programs are in force");
  active_ = true;
  health_.unready("kernel programs", "");
  for (const auto& [uid, found] : members_) found->wake();
}

void Node::tick() {
  for (const auto& [uid, found] : members_) found->look();
  std::erase_if(members_, [](const auto& entry) { return entry.second->state() == Member::State::kGone; });
  forget_strangers();
  activate();
  find_kubelet();
  note_missing_ztunnel();
  expel_ended_ztunnels();
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
  std::vector<std::filesystem::path> folders;
  for (const auto& folder : settings_.kubelet_cgroups) {
    folders.push_back(*root / folder);  // an absolute one stands for itself
    const auto id = bpf::cgroup_id(folders.back());
    if (id) {
      ids.push_back(*id);
      health_.recovered("kubelet cgroup " + folder);
    } else {
      health_.failing("kubelet cgroup " + folder, "kubelet", id.error().text);
    }
  }
  note_foreign_kubelet(foreign_kubelet(folders));
  if (ids == kubelet_) return;
  if (auto set = datapath_.set_kubelet_cgroups(ids); !set) return health_.failing("kubelet cgroups", "kubelet", set.error().text);
  health_.recovered("kubelet cgroups");
  kubelet_ = std::move(ids);
}

void Node::note_foreign_kubelet(const std::string& trouble) {
  if (trouble == kubelet_trouble_) return;
  kubelet_trouble_ = trouble;
  if (trouble.empty()) return health_.recovered("network namespace");
  log::warn(kScope, trouble);
  health_.failing("network namespace", "kubelet", trouble);
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
  const bool anew = exempt_.insert(*id).second;
  auto exempted = exempt();
  if (!exempted) {
    if (anew) exempt_.erase(*id);
    health_.failing("ztunnel", "zds", exempted.error().text);
    return exempted;
  }
  health_.recovered("ztunnel");
  return {};
}

// It listens in every pod: what comes from now on is its own, also where one before it still holds a socket.
void Node::ztunnel_synchronised(pid_t pid) {
  log::info(kScope, "ztunnel has all pods", {log::field("pid", pid)});
  give_slots_to(pid);
}

// The one that stays gets the slots at once, whether or not the other's sockets are closed yet.
void Node::ztunnel_left() {
  if (const auto connected = zds_->ztunnels(); !connected.empty()) give_slots_to(connected.back());
}

Status Node::exempt() { return datapath_.set_exempt_cgroups(std::vector(exempt_.begin(), exempt_.end())); }

// One that has left may still drain, or be on its way back to us: it is exempt as long as a process of it lives.
void Node::expel_ended_ztunnels() {
  const auto& root = datapath_.cgroup_root();
  if (std::erase_if(exempt_, [&](const auto id) { return !bpf::cgroup_populated(root, id); }) == 0) return;
  if (auto done = exempt(); !done) health_.failing("ztunnel", "zds", done.error().text);
}

// The newest first: what stands empty is its to have.
Status Node::refill_slots() {
  auto ztunnels = zds_->ztunnels();
  std::ranges::reverse(ztunnels);
  for (const auto pid : ztunnels) {
    if (auto filled = datapath_.refill_listeners(pid); !filled) return filled;
  }
  health_.recovered("slots");
  return {};
}

void Node::give_slots_to(pid_t ztunnel) {
  auto filled = datapath_.refill_listeners(ztunnel, bpf::Refill::kReplace);
  if (filled) filled = refill_slots();
  if (!filled) health_.failing("slots", "fill_slots", filled.error().text);
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
