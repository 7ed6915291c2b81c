#include "cli/verify/handshake.h"

#include <array>
#include <span>
#include <utility>

#include "common/kube/portforward.h"
#include "common/net/timer.h"
#include "common/tls/authority.h"
#include "common/tls/session.h"

namespace culvert::cli::verify {
namespace {

using namespace std::chrono_literals;

constexpr std::uint16_t kTunnels = 15008;

// What nobody in the mesh trusts.
Result<tls::Context> stranger(const Identity& expected, const std::string& roots_pem) {
  const auto roots = tls::Roots::parse(roots_pem);
  if (!roots) return std::unexpected(Error(roots.error()).during("reading the mesh's roots"));
  const auto authority = tls::Authority::make_root(expected.trust_domain, 1h);
  if (!authority) return std::unexpected(authority.error());
  const auto own = authority->make_workload({expected.trust_domain, "culvert", "verify-install"}, 1h);
  if (!own) return std::unexpected(own.error());
  return tls::Context::mesh(*own, *roots);
}

net::Task<Status> flush(kube::PortForward& port, tls::Session& session) {
  while (!session.output().empty()) {
    const auto out = session.output();
    const std::string bytes(reinterpret_cast<const char*>(out.data()), out.size());
    if (auto done = co_await port.write(bytes); !done) co_return done;
    session.sent(bytes.size());
  }
  co_return Status();
}

// Feeds one piece of what the pod says; false at its end.
net::Task<Result<bool>> hear(kube::PortForward& port, tls::Session& session) {
  const auto piece = co_await port.read();
  if (!piece) co_return std::unexpected(piece.error());
  if (piece->empty()) co_return false;
  session.feed(std::as_bytes(std::span(*piece)));
  session.keep();
  if (auto done = co_await flush(port, session); !done && session.state() != tls::Session::State::kFailed)
    co_return std::unexpected(done.error());
  co_return true;
}

// Returns when the pod ends the connection. It may say something first: in TLS 1.3 a server speaks before it has seen who asks.
net::Task<> turned_away(kube::PortForward& port, tls::Session& session) {
  std::array<std::byte, 4096> scratch;
  for (;;) {
    net::Io io = session.read(scratch);
    while (io.ok()) io = session.read(scratch);
    if (session.state() != tls::Session::State::kEstablished) co_return;
    const auto more = co_await hear(port, session);
    if (!more || !*more) co_return;
  }
}

}  // namespace

net::Task<Result<Handshake>> shake_hands(kube::Client& client, kube::Key pod, Identity expected, std::string roots_pem,
                                         std::chrono::milliseconds patience) {
  const auto context = stranger(expected, roots_pem);
  if (!context) co_return std::unexpected(context.error());
  auto port = co_await kube::PortForward::open(client, pod, kTunnels, patience);
  if (!port) co_return std::unexpected(std::move(port).error());
  bool late = false;
  net::Timer timer(client.loop());
  timer.arm(patience, [&] {
    late = true;
    port->close();
  });
  const std::array identities{expected};
  tls::Session session = context->mesh_client(identities);
  if (auto done = co_await flush(*port, session); !done) co_return std::unexpected(std::move(done).error());
  while (session.state() == tls::Session::State::kHandshake) {
    const auto more = co_await hear(*port, session);
    if (late) co_return failure("the handshake was not over in time");
    if (!more) co_return std::unexpected(more.error());
    if (!*more) co_return failure("the connection ended within the handshake");
  }
  if (session.state() != tls::Session::State::kEstablished) co_return std::unexpected(session.error());
  Handshake seen{.cipher = std::string(session.cipher()), .group = std::string(session.group())};
  if (const auto certificate = session.peer_certificate()) seen.expires = certificate->expires_at();
  co_await turned_away(*port, session);
  if (late) co_return failure("a certificate of an unknown authority was not turned away");
  co_return seen;
}

}  // namespace culvert::cli::verify
