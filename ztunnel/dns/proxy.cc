#include "ztunnel/dns/proxy.h"

#include <algorithm>
#include <array>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "common/base/log.h"
#include "common/net/relay.h"
#include "common/net/timer.h"
#include "ztunnel/dns/answer.h"
#include "ztunnel/dns/framing.h"

namespace culvert::ztunnel::dns {
namespace {

constexpr std::size_t kUdpBuffer = 2048;            // a query is a name and a few words
constexpr std::size_t kMostStreamQuery = 8 * 1024;  // an update is some more
constexpr std::uint16_t kTypeIxfr = 251, kTypeAxfr = 252;

std::uint64_t random_bits() {
  thread_local std::mt19937_64 engine(std::random_device{}());
  return engine();
}

// What is to be done with one query.
struct Judged {
  std::optional<Query> query;    // when it could be read
  std::optional<Answer> answer;  // ours; else it is forwarded
  model::WorkloadRef client;
};

}  // namespace

struct Proxy::State {
  ProxyOptions options;
  net::Datagram udp;
  net::Listener tcp;
  Load load = Load(options.most_under_way, options.all);

  net::Loop& loop() const { return *options.loop; }
  void seen(const Judged& judged, Seen what) const {
    if (judged.query) {
      what.type = judged.query->type;
      what.name = judged.query->name;
    }
    if (options.seen) options.seen(judged.client.get(), what);
  }
  void dropped(bool tcp) const {
    if (options.dropped) options.dropped(tcp);
  }
};

namespace {

using StateRef = std::shared_ptr<Proxy::State>;

// Closes a stream that has done nothing for a while.
class Idle {
 public:
  Idle(net::Stream& stream, std::chrono::milliseconds limit) : stream_(stream), timer_(stream.loop()), limit_(limit) { watch(); }
  void watch() {
    timer_.arm(limit_, [this] { stream_.close(); });
  }
  void forget() { timer_.cancel(); }  // while it waits for us

 private:
  net::Stream& stream_;
  net::Timer timer_;
  std::chrono::milliseconds limit_;
};

}  // namespace

// The lives of the proxy; a friend of nothing, they share State by reference count.
namespace lives {

net::Task<Judged> judge(StateRef state, std::span<const std::byte> message) {
  Judged judged;
  if (auto query = parse_query(message)) judged.query = std::move(*query);
  judged.client = co_await state->options.client();
  if (!judged.query) co_return judged;
  if (!judged.client) {
    judged.answer = Answer{.rcode = Rcode::kServerFailure, .authoritative = false};
    co_return judged;
  }
  judged.answer = answer(*state->options.mesh(), *judged.client, *judged.query, state->options.cluster_domain, random_bits());
  co_return judged;
}

// Sends the query from a port of its own, and waits for the answer of the very resolver it went to.
net::Task<std::optional<Bytes>> ask_udp(StateRef state, const Bytes& query, Endpoint resolver) {
  const ProxyOptions& options = state->options;
  net::DatagramOptions socket_options;
  socket_options.at = {resolver.address.is_v4() ? IpAddress::v4(0) : IpAddress::v6(std::array<std::uint8_t, 16>{}), 0, 0};
  socket_options.mark = options.mark;
  socket_options.netns = options.netns->get();
  auto socket = net::Datagram::open(state->loop(), socket_options);
  if (!socket) co_return std::nullopt;
  if (!socket->try_send(query, resolver).ok()) co_return std::nullopt;

  net::Timer patience(state->loop());
  patience.arm(options.resolver_timeout, [&socket] { socket->close(); });
  const auto reply = state->loop().scratch().first(kMaxMessage);  // filled after the wait, and taken out before the next
  for (;;) {
    const auto received = co_await socket->receive(reply);
    if (!received.io.ok()) co_return std::nullopt;
    const bool same_id = received.io.bytes >= 2 && reply[0] == query[0] && reply[1] == query[1];
    if (received.from.address != resolver.address || received.from.port != resolver.port || !same_id) continue;
    co_return Bytes(reply.begin(), reply.begin() + static_cast<std::ptrdiff_t>(received.io.bytes));
  }
}

// Answers from the address that was asked. The socket is opened for this one datagram: a lasting one on port 53 would stand in the way
// of an application that wants to serve DNS itself.
void send_udp(const StateRef& state, const Bytes& message, const Endpoint& asked, const Endpoint& client) {
  const auto sent = [&]() -> Status {
    auto socket = net::Datagram::open(state->loop(), {.at = asked,
                                                      .reuse_port = true,
                                                      .transparent = true,
                                                      .mark = state->options.mark,
                                                      .netns = state->options.netns->get()});
    if (!socket) return std::unexpected(socket.error());
    const auto io = socket->try_send(message, client);
    return io.ok() ? Status{} : std::unexpected(io.failure());
  }();
  if (!sent) log::warn("dns", "answering " + client.text() + " from " + asked.text() + ": " + sent.error().text);
}

net::Task<> serve_query(StateRef state, Bytes query, Endpoint client, Endpoint asked) {
  const Judged judged = co_await judge(state, query);
  if (judged.answer) {
    send_udp(state, encode(*judged.query, *judged.answer, udp_limit(*judged.query)), asked, client);
    state->seen(judged, {.outcome = judged.client ? Seen::Outcome::kAnswered : Seen::Outcome::kFailed,
                         .addresses = judged.answer->addresses.size()});
    co_return;
  }
  const auto begun = std::chrono::steady_clock::now();
  auto reply = co_await ask_udp(state, query, asked);
  const bool ok = reply.has_value();
  if (ok && judged.query && reply->size() > udp_limit(*judged.query)) reply = encode_truncated(*judged.query, *reply);
  if (!ok && judged.query)
    reply = encode(*judged.query, {.rcode = Rcode::kServerFailure, .authoritative = false}, kPlainUdpPayload);
  if (reply) send_udp(state, *reply, asked, client);
  state->seen(judged, {.outcome = ok ? Seen::Outcome::kForwarded : Seen::Outcome::kFailed,
                       .took = std::chrono::steady_clock::now() - begun});
}

net::Task<> count(StateRef state, net::Task<> query) {
  state->load.begin();
  co_await query;
  state->load.end();
}

void take_datagram(const StateRef& state, const net::Datagram::Received& received, std::span<const std::byte> buffer) {
  const auto bytes = buffer.first(received.io.bytes);
  if (received.to.port != kPort || !query_id(bytes)) return;
  if (state->load.full()) return state->dropped(false);
  state->loop().spawn(count(state, serve_query(state, Bytes(bytes.begin(), bytes.end()), received.from, received.to)));
}

net::Task<> serve_udp(StateRef state) {
  Bytes buffer(kUdpBuffer);
  for (;;) {
    const auto received = co_await state->udp.receive(buffer);
    if (received.io.error == ECANCELED || !state->udp) co_return;
    if (received.io.ok()) take_datagram(state, received, buffer);
  }
}

// What waits in the socket has nobody else to go to.
void take_the_last(const StateRef& state) {
  Bytes buffer(kUdpBuffer);
  for (std::size_t i = 0; state->udp && i < state->options.most_under_way; ++i) {
    const auto received = state->udp.try_receive(buffer);
    if (!received.io.ok()) return;
    take_datagram(state, received, buffer);
  }
}

// Asks over `resolver`, which is dialled when it is first needed.
net::Task<std::optional<Bytes>> ask_tcp(StateRef state, net::Stream& resolver, const Bytes& query, const net::Stream& client) {
  if (!resolver) {
    auto dialled = state->options.dial(client.peer(), client.local());
    if (!dialled) co_return std::nullopt;
    resolver = std::move(*dialled);
  }
  Idle idle(resolver, state->options.resolver_timeout);
  const bool written = co_await write_message(resolver, query);
  if (!written) co_return std::nullopt;
  Bytes reply;
  if (co_await read_message(resolver, kMaxMessage, reply) != Read::kWhole) co_return std::nullopt;
  co_return reply;
}

// A transfer of a zone, or what we cannot read: everything from here on goes to the resolver as it is.
net::Task<> pass(StateRef state, net::Stream& client, const Bytes& first) {
  auto resolver = state->options.dial(client.peer(), client.local());
  if (!resolver) {
    client.reset();
    co_return;
  }
  const bool written = co_await write_message(*resolver, first);
  if (!written) co_return;
  net::Relayed relayed;
  co_await net::relay(client, *resolver, relayed);
}

net::Task<> serve_stream(StateRef state, net::Stream client) {
  if (client.local().port != kPort) co_return client.reset();
  net::Stream resolver;
  Idle idle(client, state->options.tcp_idle);
  Bytes message;
  for (;;) {
    const Read read = co_await read_message(client, kMostStreamQuery, message);
    if (read == Read::kTooLong) state->dropped(true);
    if (read != Read::kWhole) co_return;
    idle.forget();
    const Judged judged = co_await judge(state, message);
    if (!judged.query || judged.query->type == kTypeAxfr || judged.query->type == kTypeIxfr) {
      state->seen(judged, {.outcome = Seen::Outcome::kForwarded, .tcp = true});
      co_await pass(state, client, message);
      co_return;
    }
    Bytes reply;
    if (judged.answer) {
      reply = encode(*judged.query, *judged.answer, kMaxMessage);
      state->seen(judged, {.outcome = judged.client ? Seen::Outcome::kAnswered : Seen::Outcome::kFailed,
                           .tcp = true,
                           .addresses = judged.answer->addresses.size()});
    } else {
      const auto begun = std::chrono::steady_clock::now();
      auto answered = co_await ask_tcp(state, resolver, message, client);
      const auto outcome = answered ? Seen::Outcome::kForwarded : Seen::Outcome::kFailed;
      if (!answered) resolver = net::Stream();
      reply = answered ? std::move(*answered)
                       : encode(*judged.query, {.rcode = Rcode::kServerFailure, .authoritative = false}, kMaxMessage);
      state->seen(judged, {.outcome = outcome, .tcp = true, .took = std::chrono::steady_clock::now() - begun});
    }
    idle.watch();
    const bool written = co_await write_message(client, std::move(reply));
    if (!written) co_return;
  }
}

net::Task<> serve_tcp(StateRef state) {
  while (!state->tcp.closed()) {
    auto client = co_await state->tcp.accept();
    if (!client) continue;
    if (state->load.full()) {
      state->dropped(true);
      continue;
    }
    state->loop().spawn(count(state, serve_stream(state, std::move(*client))));
  }
}

}  // namespace lives

Proxy::Proxy(ProxyOptions options, net::Datagram udp, net::Listener tcp)
    : state_(std::make_shared<State>(std::move(options), std::move(udp), std::move(tcp))) {}

Proxy::~Proxy() { stop(); }

void Proxy::stop() {
  lives::take_the_last(state_);
  state_->udp.close();
  state_->tcp.close();
}

std::size_t Proxy::under_way() const { return state_->load.under_way(); }

void Proxy::start() {
  state_->loop().spawn(lives::serve_udp(state_));
  state_->loop().spawn(lives::serve_tcp(state_));
}

}  // namespace culvert::ztunnel::dns
