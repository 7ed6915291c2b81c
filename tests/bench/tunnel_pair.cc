// tunnel_pair PORT HOST TARGET-PORT
//
// The two ends of an HBONE tunnel as two processes on loopback, without capture, policy, logs or metrics: what the tunnel itself
// costs. Connections to 127.0.0.1:PORT come out at HOST:TARGET-PORT. Prints the two process ids, runs until killed.

#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "common/base/check.h"
#include "common/hbone/pool.h"
#include "common/hbone/server.h"
#include "common/net/dial.h"
#include "common/net/listener.h"
#include "common/tls/authority.h"

namespace {

using namespace culvert;
using namespace culvert::hbone;

template <class T>
T need(Result<T> result) {
  if (!result) check_failed(result.error().text.c_str(), __FILE__, __LINE__);
  return std::move(*result);
}

Identity workload(std::string account) { return {"cluster.local", "default", std::move(account)}; }
Endpoint local(std::uint16_t port) { return {need(IpAddress::parse("127.0.0.1")), port}; }

struct Ends {
  Endpoint listen;
  Endpoint tunnel;
  Endpoint target;
  tls::Context client;
  tls::Context server;
};

net::Task<> go_in(net::Loop& loop, Pool& pool, const Ends& ends, net::Stream app) {
  auto stream = co_await pool.open(
      {.source = workload("client"), .expect = {workload("server")}, .to = ends.tunnel, .from = ends.listen.address},
      {.authority = Authority::of(ends.target), .traceparent = make_traceparent()});
  if (!stream) co_return app.reset();
  Relayed out;
  co_await relay(app, *stream, out);
  std::ignore = loop;
}

net::Task<> client_end(net::Loop& loop, const Ends& ends) {
  Pool pool(loop, {},
            [&](const PoolKey& key) -> Result<DialPlan> { return DialPlan{.dial = {.to = key.to}, .tls = ends.client}; });
  auto listener = need(net::Listener::open(loop, {.at = ends.listen}));
  while (true) loop.spawn(go_in(loop, pool, ends, need(co_await listener.accept())));
}

net::Task<> come_out(net::Loop& loop, Endpoint target, Incoming incoming) {
  auto app = co_await net::dial(loop, {.to = target});
  if (!app) co_return incoming.refuse(503);
  auto stream = incoming.accept({});
  Relayed out;
  co_await relay(*app, stream, out);
}

net::Task<> serve_one(net::Loop& loop, const Ends& ends, net::Stream socket) {
  std::ignore = co_await serve(loop, std::move(socket), ends.server, {},
                               [&](Incoming incoming) { return come_out(loop, ends.target, std::move(incoming)); });
}

net::Task<> server_end(net::Loop& loop, const Ends& ends) {
  auto listener = need(net::Listener::open(loop, {.at = ends.tunnel}));
  while (true) loop.spawn(serve_one(loop, ends, need(co_await listener.accept())));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: tunnel_pair PORT HOST TARGET-PORT\n");
    return 2;
  }
  const auto port = static_cast<std::uint16_t>(std::atoi(argv[1]));
  const auto authority = need(tls::Authority::make_root("cluster.local"));
  const tls::Roots roots({authority.certificate()});
  const auto context = [&](std::string account) {
    return need(tls::Context::mesh(need(authority.make_workload(workload(std::move(account)), std::chrono::hours(24))), roots));
  };
  const Ends ends{.listen = local(port),
                  .tunnel = local(static_cast<std::uint16_t>(port + 1)),
                  .target = {need(IpAddress::parse(argv[2])), static_cast<std::uint16_t>(std::atoi(argv[3]))},
                  .client = context("client"),
                  .server = context("server")};

  const pid_t server = ::fork();
  if (server == 0) ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (server != 0) std::printf("%d %d\n", ::getpid(), server);
  std::fflush(stdout);
  net::Loop loop;
  if (server == 0) loop.run(server_end(loop, ends));
  else loop.run(client_end(loop, ends));
  return 0;
}
