#include <optional>
#include <utility>

#include "common/base/log.h"
#include "common/hbone/server.h"
#include "common/model/plan.h"
#include "common/net/dial.h"
#include "ztunnel/inbound/door.h"
#include "ztunnel/inbound/inbound.h"
#include "ztunnel/record/record.h"
#include "ztunnel/record/refused_lines.h"

namespace culvert::ztunnel {
namespace {

// The answer to a CONNECT that fails.
int status_of(Reason reason) {
  switch (reason) {
    case Reason::kBadRequest: return 400;
    case Reason::kPolicyDenied:
    case Reason::kPolicyUnknown:
    case Reason::kPolicyInvalid:
    case Reason::kPolicyChanged: return 401;
    default: return 503;
  }
}

// Who sent it: the workload that owns the tunnel's source address, if it is the one that the certificate names; else what it says itself,
// once it has been admitted: names that a stranger chooses are not worth a label set.
void fill_source(Facts& facts, const Worker& worker, const model::Workload& own, const hbone::Incoming& incoming, bool admitted) {
  facts.source_identity = incoming.peer_identity();
  auto workload = worker.mesh()->by_address({own.network, incoming.peer().address});
  if (workload && workload->identity() == incoming.peer_identity()) facts.source_workload = std::move(workload);
  else if (admitted) facts.source_baggage = model::Baggage::parse(incoming.request().baggage);
}

// What is said of the connections of one tunnel that are refused: who has a certificate may ask at any rate. Held by all of them.
struct Refused {
  const Endpoint peer, local;
  std::optional<Identity> who = {};
  RefusedLines lines = {};

  Refused(const Endpoint& from, const Endpoint& to) : peer(from), local(to) {}
  Refused(const Refused&) = delete;
  ~Refused() {
    if (lines.left_out() == 0) return;
    log::warn("access", "connections of this tunnel were refused without a line each",
              {log::bare("src.addr", peer.text()), log::field("src.identity", who ? who->uri() : ""),
               log::bare("dst.addr", local.text()), log::field("not_logged_before", lines.left_out())});
  }
};

net::Task<> carry(Worker& worker, std::shared_ptr<Pod> pod, std::shared_ptr<Refused> refused, hbone::Incoming incoming) {
  Record record(worker.counters(), Reporter::kDestination, incoming.peer(), incoming.local());
  const auto refuse = [&incoming, &record, &refused](const Error& error) {
    incoming.refuse(status_of(error.reason));
    record.refused(error, refused->lines);
  };
  const auto own = worker.own_workload(*pod);
  if (pod->gone || !own) co_return refuse(pod->gone ? left_the_mesh(*pod) : unknown_workload(*pod));
  const auto& request = incoming.request();
  const model::Authority authority{request.authority.host, request.authority.ip, request.authority.port};
  const auto plan = model::plan_inbound(*worker.mesh(), *own, incoming.local().address, authority, request.forwarded.host);
  record.facts.destination_workload = own;
  record.facts.destination_identity = own->identity();
  if (plan) {
    record.facts.tunnelled = plan->upstream;
    record.facts.service = plan->service;
  }
  const model::Peer peer{incoming.peer_identity(), incoming.peer().address};
  Status admitted;
  if (plan) admitted = co_await admit(worker, pod, peer, plan->upstream);
  else admitted = std::unexpected(plan.error());
  fill_source(record.facts, worker, *own, incoming, admitted.has_value());
  record.opened();
  if (!admitted) co_return refuse(admitted.error());
  LiveSet::Entry entry(pod->live,
                       {.way = Connection::Way::kInbound,
                        .tunnel = true,
                        .source = incoming.peer(),
                        .actual = plan->upstream,
                        .original = plan->service ? plan->service->hostname : std::string(),
                        .peer = peer},
                       {});

  auto application = co_await net::dial(worker.loop(), dial_application(*pod, incoming.peer(), plan->upstream));
  if (!application) co_return refuse(application.error());
  if (entry.stopped() != Reason::kNone || pod->gone) {
    application->reset();
    co_return refuse({"the connection was ended while the application was dialled", pod->gone ? pod->why_gone : entry.stopped()});
  }
  if (incoming.gone()) {
    application->reset();
    co_return record.refused({"the peer gave up while the application was dialled", Reason::kPeerReset}, refused->lines);
  }

  auto stream = incoming.accept(worker.settings().response_baggage ? pod->baggage_of(own) : std::string());
  entry.on_stop([stopper = stream.stopper()](Reason reason) { stopper.stop(reason); });
  hbone::Relayed relayed;
  const Meter meter(record, relayed.received, relayed.sent);
  co_await hbone::relay(*application, stream, relayed);
  entry.on_stop({});
  record.ended(relayed.reason, std::move(relayed.text));
}

net::Task<Result<tls::Context>> await_certificate(Worker& worker, std::shared_ptr<Pod> pod) {
  const auto own = co_await worker.await_workload(pod, kWorkloadPatience);
  if (pod->gone || !own) co_return std::unexpected(pod->gone ? left_the_mesh(*pod) : unknown_workload(*pod));
  co_return co_await worker.identities().get(own->identity());
}

}  // namespace

net::Task<> serve_tunnel(Worker& worker, std::shared_ptr<Pod> pod, net::Stream socket) {
  const Endpoint peer = socket.peer();
  const Endpoint local = socket.local();
  const auto report = [&](const Error& error) {
    Record record(worker.counters(), Reporter::kDestination, peer, local);
    record.failed(error);
  };
  const auto control = std::make_shared<hbone::ServerControl>();
  control->on_early_close([&socket] { socket.reset(); });
  Handshake handshake(worker.handshakes(), *pod, [control] { control->close(Reason::kInternal); });
  pod->tunnels.insert(control);
  auto tls = co_await await_certificate(worker, pod);
  if (!tls || control->closed()) {
    pod->tunnels.erase(control);
    socket.reset();
    co_return report(control->closed() ? Error{"the connection was ended before its handshake", *control->closed()}
                                       : tls.error());
  }
  Worker* here = &worker;
  const auto refused = std::make_shared<Refused>(peer, local);
  const hbone::Handler handler = [here, pod, refused](hbone::Incoming incoming) {
    return carry(*here, pod, refused, std::move(incoming));
  };
  std::optional<Tunnels::Place> place;
  const auto established = [&](const Identity& who) {
    place = worker.tunnels().enter(*pod, who, control);
    refused->who = who;
    handshake.done();
    return place.has_value();
  };
  hbone::ServeOptions options{worker.tunnel_options(), control, established};
  const auto served = co_await hbone::serve(worker.loop(), std::move(socket), std::move(*tls), std::move(options), handler);
  pod->tunnels.erase(control);
  // A tunnel that was lost under its connections is told by each of them.
  if (!served && served.error().reason != Reason::kTunnelLost) report(served.error());
}

}  // namespace culvert::ztunnel
