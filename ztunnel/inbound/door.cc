#include "ztunnel/inbound/door.h"

#include "common/base/log.h"
#include "ztunnel/inpod/marks.h"

namespace culvert::ztunnel {
namespace {

void report_dry_runs(const Settings& settings, const model::Verdict& verdict, const model::Peer& peer,
                     const Endpoint& destination) {
  const auto level = settings.policy_info_logging ? log::Level::kInfo : log::Level::kDebug;
  if (verdict.dry_runs.empty() || !log::enabled(level, "rbac")) return;
  for (const model::DryRun& run : verdict.dry_runs) {
    log::write(
        level, "rbac", "dry-run policy " + run.policy->key() + " matches",
        {log::bare("src.addr", peer.source.text()), log::bare("dst.addr", destination.text()), log::field("rule", run.rule)});
  }
}

}  // namespace

net::Task<Status> admit(Worker& worker, std::shared_ptr<Pod> pod, model::Peer peer, Endpoint destination) {
  const auto deadline = net::Clock::now() + kPolicyPatience;
  for (;;) {
    if (pod->gone) co_return std::unexpected(left_the_mesh(*pod));
    const auto own = worker.own_workload(*pod);
    if (!own) co_return std::unexpected(unknown_workload(*pod));
    const auto verdict = model::admit(*worker.mesh(), *own, peer, destination);
    const auto left = deadline - net::Clock::now();
    if (verdict.allowed || verdict.reason != Reason::kPolicyUnknown || left <= net::Clock::duration::zero()) {
      report_dry_runs(worker.settings(), verdict, peer, destination);
      if (verdict.allowed) co_return Status{};
      co_return failure(verdict.text(), verdict.reason);
    }
    co_await worker.mesh_changed().wait_for(left);
  }
}

net::DialOptions dial_application(const Pod& pod, const Endpoint& client, const Endpoint& to) {
  net::DialOptions options;
  options.to = to;
  options.mark = kMarkInPod;
  options.netns = pod.netns.fd->get();
  options.reset_if_torn = true;
  // A pod that dials itself needs no disguise; a link-local source means nothing on another device.
  const bool keep_source =
      client.address != to.address && client.address.is_v4() == to.address.is_v4() && !client.address.is_link_local();
  if (!keep_source) return options;
  options.from = Endpoint{client.address, 0, 0};
  options.ports = pod.source_ports.own;
  options.more_ports = pod.source_ports.more;
  options.transparent = true;
  options.device = "lo";
  return options;
}

}  // namespace culvert::ztunnel
