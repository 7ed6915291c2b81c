#include "cni/agent/ask_endpoint.h"

#include <filesystem>
#include <span>
#include <utility>

#include "cni/agent/scope.h"
#include "common/base/format.h"
#include "common/base/log.h"
#include "common/net/timer.h"

namespace culvert::agent {
namespace {

using namespace std::chrono_literals;

constexpr auto kSilence = 5s;             // before its question, a plugin is taken for dead
constexpr std::size_t kMostAtOnce = 512;  // a node has some hundred pods; they may all start at once
constexpr auto kAfterFailure = 100ms;

}  // namespace

Result<std::unique_ptr<AskEndpoint>> AskEndpoint::open(net::Loop& loop, const std::string& path, Handler handler) {
  std::error_code problem;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), problem);
  if (problem) return failure(culvert::format("making the folder of {}: {}", path, problem.message()));
  auto socket = net::SeqPacketListener::open(loop, path);
  if (!socket) return std::unexpected(std::move(socket).error());
  std::unique_ptr<AskEndpoint> endpoint(new AskEndpoint(loop, *std::move(socket), std::move(handler)));
  loop.spawn(endpoint->accept_all());
  return endpoint;
}

AskEndpoint::AskEndpoint(net::Loop& loop, net::SeqPacketListener socket, Handler handler)
    : loop_(loop), socket_(std::move(socket)), handler_(std::move(handler)) {}

net::Task<> AskEndpoint::accept_all() {
  while (true) {
    auto socket = co_await socket_.accept();
    if (!socket) {
      log::error(scope::kCni, "accepting a plugin: " + socket.error().text);
      co_await net::sleep_for(loop_, kAfterFailure);
    } else if (serving_ == kMostAtOnce) {
      log::warn(scope::kCni, "too many pods ask at once: one is sent away, and comes again", {log::field("most", kMostAtOnce)});
    } else {
      loop_.spawn(serve(*std::move(socket)));
    }
  }
}

net::Task<> AskEndpoint::serve(net::SeqPacket socket) {
  ++serving_;
  net::Timer silence(loop_);
  silence.arm(kSilence, [&socket] { socket.close(); });
  auto [io, packet] = co_await socket.receive(ask::kMaxPacket);
  silence.cancel();
  if (io.ok()) {
    const auto bytes = ask::encode(co_await answer(std::move(packet)));
    if (auto sent = co_await socket.send(std::as_bytes(std::span(bytes))); !sent) log::warn(scope::kCni, sent.error().text);
  } else {
    log::warn(scope::kCni, "a plugin that asks nothing: " + io.text());
  }
  --serving_;
}

net::Task<ask::Answer> AskEndpoint::answer(net::Packet packet) {
  const std::string_view bytes(reinterpret_cast<const char*>(packet.bytes.data()), packet.bytes.size());
  auto question = ask::decode_question(bytes);
  if (question && packet.fds.size() > 1) question = failure("a question with more than one descriptor");
  if (!question) {
    log::warn(scope::kCni, question.error().text);
    co_return ask::Answer{.verdict = ask::Verdict::kRefused, .why = question.error().text};
  }
  co_return co_await handler_(*std::move(question), packet.fds.empty() ? Fd() : std::move(packet.fds.front()));
}

}  // namespace culvert::agent
