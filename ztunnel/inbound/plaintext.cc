#include <utility>

#include "common/model/plan.h"
#include "common/net/dial.h"
#include "common/net/relay.h"
#include "ztunnel/inbound/door.h"
#include "ztunnel/inbound/inbound.h"
#include "ztunnel/record/record.h"

namespace culvert::ztunnel {

net::Task<> carry_plaintext_in(Worker& worker, std::shared_ptr<Pod> pod, net::Stream client) {
  const Endpoint source = client.peer();
  const Endpoint destination = client.local();
  Record record(worker.counters(), Reporter::kDestination, source, destination);
  LiveSet::Entry entry(
      pod->live,
      {.way = Connection::Way::kInbound, .tunnel = false, .source = source, .actual = destination, .original = {}, .peer = {}},
      [&client](Reason) { client.reset(); });
  const auto stopped = [&entry] { return entry.stopped() != Reason::kNone; };
  const auto refuse = [&](const Error& error) {
    client.reset();
    record.failed(stopped() ? Error{"the connection was ended before it was carried", entry.stopped()} : error);
  };
  if (model::is_illegal_port(destination.port)) {
    co_return refuse({"the destination " + destination.text() + " is a port of ztunnel itself", Reason::kIllegalPort});
  }
  const auto own = co_await worker.await_workload(pod, kWorkloadPatience);
  if (pod->gone) co_return refuse(left_the_mesh(*pod));
  if (!own) co_return refuse(unknown_workload(*pod));
  record.facts.source_workload = worker.mesh()->by_address({own->network, source.address});
  record.facts.destination_workload = own;
  record.facts.service = model::guess_service(*worker.mesh(), *own, destination.port);
  record.opened();

  const model::Peer peer{std::nullopt, source.address};
  const auto admitted = co_await admit(worker, pod, peer, destination);
  if (stopped() || !admitted) co_return refuse(admitted ? Error() : admitted.error());
  Connection shown = entry.connection();
  shown.peer = peer;  // from here on every change of the configuration checks it again
  entry.set(std::move(shown));

  auto application = co_await net::dial(worker.loop(), dial_application(*pod, source, destination));
  if (stopped() && application) application->reset();
  if (stopped() || !application) co_return refuse(application ? Error() : application.error());
  entry.on_stop([&client, app = &*application](Reason) {
    client.reset();
    app->reset();
  });
  net::Relayed relayed;
  const Meter meter(record, relayed.a_to_b, relayed.b_to_a);
  co_await net::relay(client, *application, relayed);
  entry.on_stop({});
  const Reason reason = entry.stopped() != Reason::kNone ? entry.stopped() : relayed.reason;
  record.ended(reason, reason == Reason::kPeerReset ? "connection reset" : std::string());
}

}  // namespace culvert::ztunnel
