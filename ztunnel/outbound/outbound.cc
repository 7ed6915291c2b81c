#include "ztunnel/outbound/outbound.h"

#include <chrono>
#include <utility>

#include "common/model/plan.h"
#include "common/net/datagram.h"
#include "common/net/dial.h"
#include "common/net/relay.h"
#include "ztunnel/inpod/marks.h"
#include "ztunnel/record/record.h"

namespace culvert::ztunnel {
namespace {

using namespace std::chrono_literals;

hbone::Authority authority_of(const model::Authority& target) { return {target.address, target.hostname, target.port}; }

hbone::ConnectRequest request_for(const model::Plan& plan, Pod& pod, const model::WorkloadRef& own, const Endpoint& source) {
  hbone::ConnectRequest request;
  request.authority = authority_of(plan.target);
  request.baggage = pod.baggage_of(own);
  request.forwarded.source = source;
  if (plan.service && plan.service_addressed) request.forwarded.host = plan.service->hostname;
  request.traceparent = hbone::make_traceparent();
  return request;
}

void fill(Facts& facts, const model::Plan& plan, const model::WorkloadRef& own) {
  facts.source_workload = own;
  facts.destination_workload = plan.workload;
  facts.service = plan.service;
  facts.destination = plan.dial;
  if (plan.via != model::Plan::Via::kTunnel) return;
  facts.tunnelled = plan.upstream;
  facts.source_identity = own->identity();
  if (plan.workload) facts.destination_identity = plan.workload->identity();
}

Connection shown(const model::Plan& plan, const Endpoint& source, const Endpoint& original) {
  return {.way = Connection::Way::kOutbound,
          .tunnel = plan.via == model::Plan::Via::kTunnel,
          .source = source,
          .actual = plan.dial,
          .original = original.text(),
          .peer = {}};
}

// The application must see that its connection came to nothing: never a clean end.
void refuse(net::Stream& app, Record& record, const Error& error) {
  app.reset();
  record.failed(error);
}

// The connection was stopped from outside, or the pod has left: its socket is reset already, or is now.
bool ended(net::Stream& app, Record& record, const Pod& pod, const LiveSet::Entry& entry) {
  const Reason reason = entry.stopped() != Reason::kNone ? entry.stopped() : pod.gone ? pod.why_gone : Reason::kNone;
  if (reason == Reason::kNone) return false;
  refuse(app, record, {"the connection was ended before it was carried", reason});
  return true;
}

// One of our ports, at an address of the pod itself: what we dialled there would be accepted by us again, without end. The kernel knows
// all of its addresses, those included that no configuration tells of.
bool leads_to_ourselves(Worker& worker, const Pod& pod, const Endpoint& to) {
  if (!model::is_illegal_port(to.port)) return false;
  if (to.address.is_loopback()) return true;
  net::DatagramOptions options;
  options.at = {to.address, 0, to.scope};
  options.netns = pod.netns.fd->get();
  return net::Datagram::open(worker.loop(), options).has_value();
}

net::Task<> carry_tunnel(Worker& worker, std::shared_ptr<Pod> pod, net::Stream& app, const model::Plan& plan,
                         model::WorkloadRef own, Record& record, LiveSet::Entry& entry) {
  const Endpoint source = record.facts.source;
  const auto certificate = co_await worker.identities().get(own->identity());
  if (ended(app, record, *pod, entry)) co_return;
  if (!certificate) co_return refuse(app, record, certificate.error());
  hbone::PoolKey key{own->identity(), plan.expect, plan.dial, source.address, pod->netns.cookie};
  auto opened = co_await worker.pool().open(std::move(key), request_for(plan, *pod, own, source));
  if (ended(app, record, *pod, entry)) co_return;
  if (!opened) co_return refuse(app, record, opened.error());

  record.facts.destination_identity = opened->peer_identity();
  entry.on_stop([stopper = opened->stopper()](Reason reason) { stopper.stop(reason); });
  hbone::Relayed relayed;
  const Meter meter(record, relayed.sent, relayed.received);
  co_await hbone::relay(app, *opened, relayed);
  entry.on_stop({});
  record.ended(relayed.reason, std::move(relayed.text));
}

net::Task<> carry_plaintext(Worker& worker, std::shared_ptr<Pod> pod, net::Stream& app, const model::Plan& plan, Record& record,
                            LiveSet::Entry& entry) {
  net::DialOptions options;
  options.to = plan.dial;
  options.mark = kMarkEgress;
  options.netns = pod->netns.fd->get();
  options.keepalive = net::Keepalive{};
  options.reset_if_torn = true;
  auto upstream = co_await net::dial(worker.loop(), std::move(options));
  if (ended(app, record, *pod, entry)) {
    if (upstream) upstream->reset();
    co_return;
  }
  if (!upstream) co_return refuse(app, record, upstream.error());

  entry.on_stop([&app, far = &*upstream](Reason) {
    app.reset();
    far->reset();
  });
  net::Relayed relayed;
  const Meter meter(record, relayed.a_to_b, relayed.b_to_a);
  co_await net::relay(app, *upstream, relayed);
  entry.on_stop({});
  const Reason reason = entry.stopped() != Reason::kNone ? entry.stopped() : relayed.reason;
  record.ended(reason, reason == Reason::kPeerReset ? "connection reset" : std::string());
}

}  // namespace

net::Task<> carry_outbound(Worker& worker, std::shared_ptr<Pod> pod, net::Stream app) {
  const Endpoint source = app.peer();
  const Endpoint original = app.local();
  return carry_outbound_for(worker, std::move(pod), std::move(app), source, original);
}

net::Task<> carry_outbound_for(Worker& worker, std::shared_ptr<Pod> pod, net::Stream app, Endpoint source, Endpoint original) {
  Record record(worker.counters(), Reporter::kSource, source, original);
  LiveSet::Entry entry(
      pod->live,
      {.way = Connection::Way::kOutbound, .tunnel = false, .source = source, .actual = original, .original = {}, .peer = {}},
      [&app](Reason) { app.reset(); });

  if (leads_to_ourselves(worker, *pod, original)) {
    co_return refuse(app, record, {"the destination " + original.text() + " is a port of ztunnel itself", Reason::kIllegalPort});
  }
  auto own = co_await worker.await_workload(pod, kWorkloadPatience);
  if (ended(app, record, *pod, entry)) co_return;
  if (!own) co_return refuse(app, record, unknown_workload(*pod));
  const auto plan = model::plan_outbound(*worker.mesh(), *own, original, worker.random());
  if (!plan) {
    record.facts.source_workload = own;
    record.opened();
    co_return refuse(app, record, plan.error());
  }
  fill(record.facts, *plan, own);
  entry.set(shown(*plan, source, original));
  record.opened();
  if (plan->via == model::Plan::Via::kTunnel) {
    co_await carry_tunnel(worker, pod, app, *plan, std::move(own), record, entry);
  } else {
    co_await carry_plaintext(worker, pod, app, *plan, record, entry);
  }
}

}  // namespace culvert::ztunnel
