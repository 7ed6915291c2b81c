#include "ztunnel/inpod/agent.h"

#include <algorithm>
#include <utility>

#include "common/base/log.h"
#include "common/net/timer.h"

namespace culvert::ztunnel {
namespace {

using namespace std::chrono_literals;

constexpr auto kFirstPause = 10ms;
constexpr std::chrono::milliseconds kLongestPause = 1s;  // pods that start meanwhile wait for it
constexpr std::string_view kScope = "inpod";

std::string_view text_of(const net::Packet& packet) {
  return {reinterpret_cast<const char*>(packet.bytes.data()), packet.bytes.size()};
}

}  // namespace

Agent::Agent(net::Loop& loop, std::string path, Hooks hooks)
    : loop_(loop), path_(std::move(path)), hooks_(std::move(hooks)), pause_(kFirstPause), failed_(loop) {}

Agent::~Agent() = default;

void Agent::start() {
  loop_.spawn(live());
  loop_.spawn(retry());
}

void Agent::close() {
  closed_ = true;
  socket_.close();
}

net::Task<> Agent::live() {
  std::string last;  // a node agent that is away is told once, not at each try
  while (!closed_) {
    const auto served = co_await serve();
    client_.disconnected();
    hooks_.changed();
    if (closed_) co_return;
    const std::string why = served ? "it closed the connection" : served.error().text;
    if (std::exchange(last, why) != why) log::warn(kScope, "lost the node agent, trying again: " + why);
    co_await net::sleep_for(loop_, pause_);
    pause_ = std::min(pause_ * 2, kLongestPause);
  }
}

net::Task<Status> Agent::serve() {
  auto socket = net::SeqPacket::connect(loop_, path_);
  if (!socket) co_return std::unexpected(std::move(socket).error());
  socket_ = std::move(*socket);
  const auto send = [this](const std::string& packet) { return socket_.send(std::as_bytes(std::span(packet))); };

  const std::string hello = client_.connected();
  auto sent = co_await send(hello);
  if (!sent) co_return sent;
  log::info(kScope, "connected to the node agent", {log::field("socket", path_)});
  for (;;) {
    auto received = co_await socket_.receive();
    if (received.io.state == net::Io::kEof) co_return Status{};
    if (!received.io.ok()) co_return std::unexpected(received.io.failure());
    auto step = client_.received(text_of(received.packet), std::move(received.packet.fds));
    if (!step) co_return std::unexpected(std::move(step).error().during("the node agent's message"));
    for (const auto& uid : step->stop) hooks_.stop(uid);
    std::string reply = std::move(step->reply);
    if (step->start) reply = co_await begin(std::move(*step->start));
    if (client_.ready()) pause_ = kFirstPause;
    hooks_.changed();
    if (reply.empty()) continue;
    sent = co_await send(reply);
    if (!sent) co_return sent;
  }
}

net::Task<std::string> Agent::begin(zds::Client::Start start) {
  const std::string uid = start.pod.uid;
  const std::string pod = start.pod.name_space + "/" + start.pod.name;
  const std::uint64_t generation = start.generation;
  if (start.replaces) hooks_.stop(uid);
  const auto begun = co_await hooks_.start(std::move(start));
  if (begun) {
    log::info(kScope, "pod received, its proxy runs", {log::field("uid", uid), log::field("pod", pod)});
  } else {
    log::error(kScope, "starting the proxy of a pod: " + begun.error().text, {log::field("uid", uid), log::field("pod", pod)});
    failed_.notify_all();
  }
  co_return client_.started(uid, generation, begun ? std::string_view() : std::string_view(begun.error().text),
                            net::Clock::now());
}

net::Task<> Agent::retry() {
  while (!closed_) {
    const auto deadline = client_.deadline();
    if (!deadline) {
      co_await failed_.wait();
      continue;
    }
    co_await net::sleep_for(loop_, *deadline - net::Clock::now());
    while (auto start = client_.retry(net::Clock::now())) {
      co_await begin(std::move(*start));
      hooks_.changed();
    }
  }
}

}  // namespace culvert::ztunnel
