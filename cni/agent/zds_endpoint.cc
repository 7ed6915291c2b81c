#include "cni/agent/zds_endpoint.h"

#include <algorithm>
#include <filesystem>
#include <span>
#include <utility>

#include "cni/agent/processes.h"
#include "cni/agent/scope.h"
#include "common/base/format.h"
#include "common/base/log.h"

namespace culvert::agent {
namespace {

using namespace std::chrono_literals;
using zds::Server;

constexpr auto kBetweenAccepts = 200ms;  // five a second

}  // namespace

Result<std::unique_ptr<ZdsEndpoint>> ZdsEndpoint::open(net::Loop& loop, const std::string& path, Listener listener) {
  std::error_code problem;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), problem);
  if (problem) return failure(culvert::format("making the folder of {}: {}", path, problem.message()));
  auto socket = net::SeqPacketListener::open(loop, path);
  if (!socket) return std::unexpected(std::move(socket).error());
  return std::unique_ptr<ZdsEndpoint>(new ZdsEndpoint(loop, *std::move(socket), std::move(listener)));
}

void ZdsEndpoint::begin() { loop_.spawn(accept_all()); }

ZdsEndpoint::ZdsEndpoint(net::Loop& loop, net::SeqPacketListener socket, Listener listener)
    : loop_(loop), socket_(std::move(socket)), listener_(std::move(listener)), deadline_(loop) {}

void ZdsEndpoint::add(zds::Pod pod, std::shared_ptr<const Fd> netns) {
  carry_out(server_.add(std::move(pod), std::move(netns), net::Clock::now()));
}

void ZdsEndpoint::remove(std::string_view uid) { carry_out(server_.remove(uid, net::Clock::now())); }

std::vector<pid_t> ZdsEndpoint::ztunnels() const {
  std::vector<PeerPtr> greeted;
  for (const auto& [id, peer] : peers_) {
    if (peer->greeted) greeted.push_back(peer);
  }
  std::ranges::stable_sort(greeted, {}, &Peer::started);
  std::vector<pid_t> pids;
  for (const auto& peer : greeted) pids.push_back(peer->pid);
  return pids;
}

net::Task<> ZdsEndpoint::accept_all() {
  while (true) {
    auto socket = co_await socket_.accept();
    if (socket) {
      welcome(*std::move(socket));
    } else {
      log::error(scope::kZds, culvert::format("accepting a ztunnel: {}", socket.error().text));
    }
    co_await net::sleep_for(loop_, kBetweenAccepts);
  }
}

void ZdsEndpoint::welcome(net::SeqPacket socket) {
  const auto credentials = socket.peer_credentials();
  if (!credentials) return log::error(scope::kZds, culvert::format("a ztunnel's credentials: {}", credentials.error().text));
  log::info(scope::kZds, "ztunnel connected", {log::field("pid", credentials->pid)});
  const auto started = Processes().started(credentials->pid).value_or(0);  // one that is not there has ended
  const auto id = server_.connected(started, net::Clock::now());
  const auto peer = std::make_shared<Peer>(std::move(socket), credentials->pid, started);
  peers_.emplace(id, peer);
  carry_out({});
  loop_.spawn(serve(id, peer));
}

net::Task<> ZdsEndpoint::serve(Server::Id id, PeerPtr peer) {
  while (true) {
    const auto [io, packet] = co_await peer->socket.receive(zds::kMaxPacket);
    if (!peers_.contains(id)) co_return;  // closed by us
    if (!io.ok()) {
      close(id, io.state == net::Io::kEof ? "it has closed" : io.text());
      carry_out(server_.disconnected(id, net::Clock::now()));
      co_return;
    }
    const std::string_view bytes(reinterpret_cast<const char*>(packet.bytes.data()), packet.bytes.size());
    if (const auto greeted = peer->greeted ? Status() : greet(*peer, bytes); !greeted) {
      close(id, greeted.error().text);
      carry_out(server_.disconnected(id, net::Clock::now()));
      co_return;
    }
    carry_out(server_.received(id, bytes, net::Clock::now()));
  }
}

// Only who speaks our protocol is taken for a ztunnel.
Status ZdsEndpoint::greet(Peer& peer, std::string_view packet) {
  if (auto hello = zds::decode_hello(packet); !hello) return hello;
  if (auto taken = listener_.arrived(peer.pid); !taken) return taken;
  peer.greeted = true;
  return {};
}

net::Task<> ZdsEndpoint::send(PeerPtr peer, Server::Send message) {
  const int netns = message.netns ? message.netns->get() : -1;
  const auto sent =
      co_await peer->socket.send(std::as_bytes(std::span(message.packet)), std::span(&netns, message.netns ? 1U : 0U));
  if (sent || !peers_.contains(message.to)) co_return;
  close(message.to, sent.error().text);
  carry_out(server_.disconnected(message.to, net::Clock::now()));
}

void ZdsEndpoint::carry_out(Server::Actions actions) {
  for (auto& action : actions) {
    if (auto* message = std::get_if<Server::Send>(&action)) {
      if (const auto peer = peers_.find(message->to); peer != peers_.end()) loop_.spawn(send(peer->second, std::move(*message)));
    } else if (const auto* end = std::get_if<Server::Close>(&action)) {
      close(end->who, end->why);
    } else if (const auto* added = std::get_if<Server::Added>(&action)) {
      listener_.added(added->uid, added->error);
    } else if (const auto* removed = std::get_if<Server::Removed>(&action)) {
      listener_.removed(removed->uid);
    } else if (const auto* done = std::get_if<Server::Synchronised>(&action)) {
      if (const auto peer = peers_.find(done->who); peer != peers_.end()) listener_.synchronised(peer->second->pid);
    }
  }
  const auto deadline = server_.deadline();
  if (!deadline) return deadline_.cancel();
  deadline_.arm(*deadline - net::Clock::now(), [this] { carry_out(server_.expired(net::Clock::now())); });
}

void ZdsEndpoint::close(Server::Id id, std::string_view why) {
  const auto found = peers_.find(id);
  if (found == peers_.end()) return;
  const auto peer = found->second;
  peers_.erase(found);
  peer->socket.close();
  log::warn(scope::kZds, "ztunnel is gone", {log::field("pid", peer->pid), log::field("why", std::string(why))});
  if (peer->greeted) listener_.left(peer->pid);
}

}  // namespace culvert::agent
