#include "tests/integration/culvertd/bounds.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "common/base/fd.h"
#include "common/net/timer.h"

namespace culvert::test {

using namespace std::chrono_literals;
using namespace culvert::rpc;

Bounds::Bounds() {
  char pattern[] = "/tmp/culvert-server-XXXXXX";
  folder = ::mkdtemp(pattern);
  const std::vector<std::string> names = {"localhost"};
  const auto pair = authority.make_server(names, std::vector{IpAddress::v4(0x7f000001)}, 1h);
  std::ofstream(folder + "/cert.pem") << pair->leaf().pem();
  std::ofstream(folder + "/key.pem") << pair->key().private_pem();
  options.certificate_file = folder + "/cert.pem";
  options.key_file = folder + "/key.pem";
}

Bounds::~Bounds() { std::filesystem::remove_all(folder); }

void Bounds::start(const std::string& address) {
  options.address = address + ":0";
  server = *CallServer::start(loop, options, [this](const CallRef& call) {
    calls.push_back(call);
    if (proves) call->proved("a test");
    call->accept({});
  });
}

Channel Bounds::channel(const std::string& address) {
  return Channel({.address = address + ":" + std::to_string(server->port()),
                  .roots_pem = authority.certificate().pem(),
                  .name = "localhost"});
}

bool Bounds::until(const std::function<bool()>& done) {
  loop.run([](net::Loop* on, const std::function<bool()>* enough) -> net::Task<> {
    const auto end = net::Clock::now() + 10s;
    while (!(*enough)() && net::Clock::now() < end) co_await net::sleep_for(*on, 2ms);
  }(&loop, &done));
  return done();
}

std::unique_ptr<Stream> Bounds::begun(const Channel& on, Heard& heard) {
  for (int attempt = 0; attempt < 5; ++attempt) {
    heard.ended.reset();
    const std::size_t before = calls.size();
    auto stream = std::make_unique<Stream>(loop, on, "/a.B/C", Metadata{}, heard.events());
    if (until([&] { return calls.size() > before || heard.ended; }) && !heard.ended) return stream;
  }
  ADD_FAILURE() << "no stream: " << (heard.ended ? heard.ended->describe() : "silence");
  return nullptr;
}

std::optional<std::string> Bounds::say_raw(std::string_view text) {
  const Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) throw std::runtime_error("making a socket: " + errno_text(errno));
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(server->port());
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
  EXPECT_EQ(::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
  std::string answer;
  for (pollfd ready{fd.get(), POLLIN, 0}; ::poll(&ready, 1, 10'000) == 1;) {
    char buffer[1024];
    const ssize_t count = ::recv(fd.get(), buffer, sizeof buffer, 0);
    if (count <= 0) return answer;
    answer.append(buffer, static_cast<std::size_t>(count));
  }
  return std::nullopt;
}

}  // namespace culvert::test
