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
  const auto refuse = [&client, &record](const Error& error) {
    client.reset();
    record.failed(error);
  };
  if (model::is_illegal_port(destination.port)) {
    co_return refuse({"the destination " + destination.text() + " is a port of ztunnel itself", Reason::kIllegalPort});
  }
  const auto own = co_await worker.await_workload(pod, kWorkloadPatience);
  if (!own) co_return refuse(unknown_workload(*pod));
  const std::string network = worker.settings().network;
  record.facts.source_workload = worker.mesh()->by_address({network, source.address});
  record.facts.destination_workload = own;
  record.facts.service = model::guess_service(*worker.mesh(), *own, destination.port);
  record.opened();

  const model::Peer peer{std::nullopt, source.address};
  const auto admitted = co_await admit(worker, pod, peer, destination);
  if (!admitted) co_return refuse(admitted.error());
  LiveSet::Entry entry(
      pod->live,
      {.way = Connection::Way::kInbound, .tunnel = false, .source = source, .actual = destination, .original = {}, .peer = peer},
      [&client](Reason) { client.reset(); });

  auto application = co_await net::dial(worker.loop(), dial_application(*pod, source, destination));
  if (!application) co_return refuse(application.error());
  if (entry.stopped() != Reason::kNone || pod->gone) {
    application->reset();
    co_return refuse({"the connection was ended while the application was dialled", pod->gone ? pod->why_gone : entry.stopped()});
  }
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
