#include "ztunnel/inpod/proxy.h"

#include <sys/socket.h>

#include <array>
#include <fstream>
#include <iterator>
#include <utility>

#include "common/base/log.h"
#include "common/net/netns.h"
#include "ztunnel/inbound/inbound.h"
#include "ztunnel/inbound/source_ports.h"
#include "ztunnel/inpod/dns_seen.h"
#include "ztunnel/inpod/marks.h"
#include "ztunnel/outbound/outbound.h"

namespace culvert::ztunnel {
namespace {

// What the pod's namespace says of itself.
struct Surroundings {
  net::PortRange ephemeral;
  bool ipv6 = true;
};

Result<Surroundings> look_around(const Netns& netns) {
  Surroundings found;
  const auto looked = net::in_netns(netns.fd->get(), [&found]() -> Status {
    std::ifstream file("/proc/sys/net/ipv4/ip_local_port_range");
    found.ephemeral = parse_port_range(std::string(std::istreambuf_iterator<char>(file), {}));
    const Fd probe(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
    found.ipv6 = static_cast<bool>(probe);
    return {};
  });
  if (!looked) return std::unexpected(looked.error());
  return found;
}

// Accepts until the listener is closed; each connection is a life of its own.
net::Task<> accept_all(Worker& worker, std::shared_ptr<Pod> pod, std::shared_ptr<net::Listener> listener,
                       net::Task<> (*carry)(Worker&, std::shared_ptr<Pod>, net::Stream)) {
  while (!listener->closed()) {
    auto accepted = co_await listener->accept();
    if (accepted) {
      if (carry == serve_tunnel) co_await worker.handshakes().room(pod);
      worker.loop().spawn(carry(worker, pod, std::move(*accepted)));
    } else if (!listener->closed() && worker.may_complain()) {
      log::warn("proxy", "accepting for " + pod->name.name_space + "/" + pod->name.name + ": " + accepted.error().text +
                             " (more of this is told once in a while only)");
    }
  }
}

}  // namespace

Result<std::unique_ptr<Proxy>> Proxy::start(Worker& worker, zds::Pod name, Netns netns, std::shared_ptr<dns::Load> dns_load) {
  const auto around = look_around(netns);
  if (!around) return std::unexpected(around.error());
  const auto ports = source_ports(around->ephemeral, worker.index(), worker.count());
  std::unique_ptr<Proxy> proxy(new Proxy(worker, worker.add_pod(std::move(name), std::move(netns), ports), std::move(dns_load)));
  if (auto done = proxy->listen(IpAddress::v4(0)); !done) return std::unexpected(std::move(done).error());
  if (worker.settings().ipv6_enabled && around->ipv6) {
    if (auto done = proxy->listen(IpAddress::v6(std::array<std::uint8_t, 16>{})); !done)
      return std::unexpected(std::move(done).error());
  }
  return proxy;
}

Proxy::~Proxy() { stop(Reason::kPodRemoved); }

void Proxy::stop_accepting() {
  for (const auto& listener : listeners_) listener->close();
  for (const auto& dns : dns_) dns->stop();
}

std::size_t Proxy::dns_under_way() const {
  std::size_t sum = 0;
  for (const auto& dns : dns_) sum += dns->under_way();
  return sum;
}

void Proxy::stop(Reason reason) {
  stop_accepting();
  if (!pod_->gone) worker_.remove_pod(pod_, reason);
}

Status Proxy::listen(const IpAddress& any) {
  if (auto done = listen(any, kPortOutbound, carry_outbound); !done) return done;
  if (auto done = listen(any, kPortInbound, carry_plaintext_in); !done) return done;
  if (auto done = listen(any, kPortHbone, serve_tunnel); !done) return done;
  return worker_.settings().dns_capture ? listen_dns(any) : Status{};
}

namespace {

net::ListenOptions options_for(const Pod& pod, const IpAddress& any, std::uint16_t port) {
  net::ListenOptions options;
  options.at = {any, port, 0};
  options.reuse_port = true;
  options.transparent = true;
  options.v6_only = true;
  // Who is captured lives in this pod, and the kernel answers for a closed socket with our mark reflected: with the mark of what leaves
  // the pod, its last ACK would go out to the real destination, and ours would wait for it with the port taken.
  const bool captured = port == kPortOutbound || port == kPortDns;
  options.mark = captured ? kMarkInPod : kMarkEgress;
  options.netns = pod.netns.fd->get();
  options.keepalive = net::Keepalive{};
  options.reset_if_torn = port == kPortOutbound || port == kPortInbound;  // what we carry; TLS and DNS know their ends themselves
  return options;
}

}  // namespace

Status Proxy::listen(const IpAddress& any, std::uint16_t port, Carry carry) {
  auto opened = net::Listener::open(worker_.loop(), options_for(*pod_, any, port));
  if (!opened) return std::unexpected(std::move(opened).error());
  const auto listener = std::make_shared<net::Listener>(std::move(*opened));
  listeners_.push_back(listener);
  worker_.loop().spawn(accept_all(worker_, pod_, listener, carry));
  return {};
}

Status Proxy::listen_dns(const IpAddress& any) {
  net::DatagramOptions udp_options;
  udp_options.at = {any, kPortDns, 0};
  udp_options.reuse_port = true;
  udp_options.transparent = true;
  udp_options.v6_only = true;
  udp_options.mark = kMarkEgress;
  udp_options.netns = pod_->netns.fd->get();
  auto udp = net::Datagram::open(worker_.loop(), udp_options);
  if (!udp) return std::unexpected(std::move(udp).error());
  auto tcp = net::Listener::open(worker_.loop(), options_for(*pod_, any, kPortDns));
  if (!tcp) return std::unexpected(std::move(tcp).error());

  dns::ProxyOptions options;
  options.loop = &worker_.loop();
  options.netns = pod_->netns.fd;
  options.mark = kMarkEgress;
  options.cluster_domain = worker_.settings().cluster_domain;
  Worker* worker = &worker_;
  options.mesh = [worker] { return worker->mesh(); };
  // Our end of a pair; the other is carried as if the application had dialled the resolver itself.
  options.dial = [worker, pod = pod_](const Endpoint& client, const Endpoint& resolver) -> Result<net::Stream> {
    auto pair = net::Stream::pair(worker->loop());
    if (!pair) return std::unexpected(std::move(pair).error());
    worker->loop().spawn(carry_outbound_for(*worker, pod, std::move(pair->second), client, resolver));
    return std::move(pair->first);
  };
  options.client = [worker, pod = pod_] { return worker->await_workload(pod, kDnsPatience); };
  options.seen = [worker, pod = pod_](const model::Workload* client, const dns::Seen& seen) {
    count_dns(worker->counters(), *pod, client, seen);
  };
  options.all = dns_load_;
  options.dropped = [worker, pod = pod_](bool over_tcp) {
    worker->counters().dns_dropped(over_tcp);
    if (worker->may_complain())
      log::warn("dns", "a query of " + pod->name.name_space + "/" + pod->name.name +
                           " is dropped: too many are under way, or it is too long" +
                           " (more of this is told once in a while only)");
  };
  dns_.push_back(std::make_unique<dns::Proxy>(std::move(options), std::move(*udp), std::move(*tcp)));
  dns_.back()->start();
  return {};
}

Status Proxies::start(const zds::Pod& name, const Netns& netns) {
  stop(name.uid, Reason::kPodRemoved);
  auto proxy = Proxy::start(worker_, name, netns, dns_load_);
  if (!proxy) return std::unexpected(std::move(proxy).error());
  proxies_[name.uid] = std::move(*proxy);
  return {};
}

void Proxies::stop(const std::string& uid, Reason reason) {
  const auto found = proxies_.find(uid);
  if (found == proxies_.end()) return;
  found->second->stop(reason);
  proxies_.erase(found);
}

void Proxies::stop_accepting() {
  for (const auto& [uid, proxy] : proxies_) proxy->stop_accepting();
}

std::size_t Proxies::dns_under_way() const {
  std::size_t sum = 0;
  for (const auto& [uid, proxy] : proxies_) sum += proxy->dns_under_way();
  return sum;
}

void Proxies::stop_all(Reason reason) {
  for (const auto& [uid, proxy] : proxies_) proxy->stop(reason);
  proxies_.clear();
}

}  // namespace culvert::ztunnel
