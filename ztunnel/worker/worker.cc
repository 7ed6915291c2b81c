#include "ztunnel/worker/worker.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/model/admit.h"
#include "ztunnel/inpod/marks.h"

namespace culvert::ztunnel {

Error unknown_workload(const Pod& pod) {
  return {"the pod's own workload " + pod.name.name_space + "/" + pod.name.name + " (service account " +
              pod.name.service_account + ") is not in the configuration of this node",
          Reason::kUnknownSource};
}

Error left_the_mesh(const Pod& pod) {
  return {"the pod " + pod.name.name_space + "/" + pod.name.name + " takes no new connections", pod.why_gone};
}

namespace {

// What tunnels may hold in the whole process (hbone::Backlog); each worker has its part, and enough.
constexpr std::size_t kBacklog = std::size_t{512} << 20;
constexpr std::size_t kLeastBacklog = std::size_t{64} << 20;
constexpr std::size_t kBacklogOfTunnel = 64 * 1024;  // so much of it for each that may come in; one without streams holds 40 KiB

std::size_t backlog_of(unsigned workers) { return std::max(kBacklog / std::max(workers, 1U), kLeastBacklog); }

// One identity leaves a quarter to others. All workers together take 8,192 or more.
Tunnels::Limits tunnel_limits(unsigned workers) {
  const std::size_t all = backlog_of(workers) / kBacklogOfTunnel;
  return {.of_peer = all - all / 4, .of_all = all};
}

constexpr std::chrono::seconds kQuiet{10};
constexpr std::uint32_t kClientHeaderList = 16 * 1024;  // of answers (protocols.md §1.3)

}  // namespace

Worker::Worker(Parts parts)
    : parts_(std::move(parts)),
      handshakes_(*parts_.loop),
      tunnels_(tunnel_limits(parts_.count)),
      identities_(*parts_.loop, parts_.ask_certificate),
      mesh_changed_(*parts_.loop),
      idle_(*parts_.loop),
      random_(std::random_device{}()) {
  tunnel_options_.backlog = std::make_shared<hbone::Backlog>(backlog_of(parts_.count));
  hbone::PoolOptions options;
  options.tunnel = tunnel_options_;
  options.tunnel.engine.pool_streams = settings().pool_max_streams;
  options.tunnel.engine.max_header_list = kClientHeaderList;
  options.idle_close = parts_.settings->pool_unused_release;
  pool_ = std::make_unique<hbone::Pool>(*parts_.loop, options, [this](const hbone::PoolKey& key) { return plan_dial(key); });
  parts_.mesh->on_change([this] {
    check_again();
    mesh_changed_.notify_all();
  });
}

Worker::~Worker() { parts_.mesh->on_change({}); }

bool Worker::may_complain() {
  const auto now = net::Clock::now();
  if (now < complain_again_) return false;
  complain_again_ = now + kQuiet;
  return true;
}

std::shared_ptr<Pod> Worker::add_pod(zds::Pod name, Netns netns, SourcePorts source_ports) {
  auto pod = std::make_shared<Pod>();
  pod->name = std::move(name);
  pod->netns = std::move(netns);
  pod->source_ports = source_ports;
  pod->live.on_empty = [this] {
    if (live() == 0) idle_.notify_all();
  };
  pod->own = ztunnel::own_workload(*mesh(), pod->name, settings().node_name);
  pods_[pod->netns.cookie] = pod;
  return pod;
}

void Worker::remove_pod(const std::shared_ptr<Pod>& pod, Reason reason) {
  pod->gone = true;
  pod->why_gone = reason;
  if (const auto found = pods_.find(pod->netns.cookie); found != pods_.end() && found->second == pod) pods_.erase(found);
  pod->live.stop_all(reason);
  for (const auto& tunnel : pod->tunnels) tunnel->close(reason);
  pool_->close_if([&pod](const hbone::PoolKey& key) { return key.netns == pod->netns.cookie; }, reason);
  pod->live.on_empty = {};
  mesh_changed_.notify_all();  // who waits for this pod's workload or policies waits no longer
}

model::WorkloadRef own_workload(const model::Mesh& mesh, const zds::Pod& pod, const std::string& node) {
  return mesh.pod(pod.name_space, pod.name, pod.service_account, node);
}

Counts Worker::counts() {
  Counts out = counters_.counts();
  const auto pool = pool_->counts();
  out.tunnels = pool.tunnels;
  out.tunnel_streams = pool.streams;
  out.tunnel_connects = pool.connects;
  out.tunnel_failures = pool.failed;
  return out;
}

net::Task<model::WorkloadRef> Worker::await_workload(std::shared_ptr<Pod> pod, net::Clock::duration patience) {
  const auto deadline = net::Clock::now() + patience;
  for (;;) {
    auto workload = pod->own;
    const auto left = deadline - net::Clock::now();
    if (workload || pod->gone || left <= net::Clock::duration::zero()) co_return workload;
    co_await mesh_changed_.wait_for(left);
  }
}

void Worker::set_identity(const Identity& identity, Identities::Value value) {
  const bool good = value && *value;
  identities_.set(identity, std::move(value));
  // Connections keep the certificate they were opened with; new ones must not join a tunnel of an old one, be it renewed or expired.
  if (good) pool_->retire_if([&identity](const hbone::PoolKey& key) { return key.source == identity; });
}

std::size_t Worker::live() const {
  std::size_t sum = 0;
  for (const auto& [cookie, pod] : pods_) sum += pod->live.size();
  return sum;
}

std::size_t Worker::unfinished() const {
  std::size_t sum = live();
  for (const auto& [cookie, pod] : pods_) sum += pod->tunnels.size();
  return sum;
}

void Worker::drain() {
  pool_->retire_if([](const hbone::PoolKey&) { return true; });
  for (const auto& [cookie, pod] : pods_) {
    for (const auto& tunnel : pod->tunnels) tunnel->drain();
  }
}

void Worker::stop_all(Reason reason) {
  for (const auto& [cookie, pod] : pods_) pod->live.stop_all(reason);
}

Result<hbone::DialPlan> Worker::plan_dial(const hbone::PoolKey& key) {
  const auto pod = pods_.find(key.netns);
  if (pod == pods_.end()) return failure("the pod has left the mesh", Reason::kPodRemoved);
  auto tls = identities_.now(key.source);
  if (!tls) return std::unexpected(std::move(tls).error());
  net::DialOptions dial;
  dial.to = key.to;
  dial.mark = kMarkEgress;
  dial.netns = pod->second->netns.fd->get();
  dial.keepalive = net::Keepalive{};
  return hbone::DialPlan{std::move(dial), std::move(*tls)};
}

// Every inbound connection must be one that today's policies allow. A policy that is named and has not arrived cuts nothing: what lives
// was allowed by all that were known. A pod whose workload is gone for now keeps what it was checked by until it returns.
void Worker::check_again() {
  for (const auto& [cookie, pod] : pods_) {
    pod->own = ztunnel::own_workload(*mesh(), pod->name, settings().node_name);
    if (pod->live.size() == 0) {
      pod->checked.reset();
      continue;
    }
    const auto own = pod->own;
    if (!own) continue;
    auto policies = mesh()->policies_of(*own);
    if (pod->checked == policies) continue;
    pod->checked = std::move(policies);
    pod->live.each([&](LiveSet::Entry& entry) {
      const Connection& connection = entry.connection();
      if (!connection.peer) return;
      const auto verdict = model::admit(*mesh(), *own, *connection.peer, connection.actual);
      if (!verdict.allowed && verdict.reason != Reason::kPolicyUnknown) entry.stop(Reason::kPolicyChanged);
    });
  }
}

}  // namespace culvert::ztunnel
