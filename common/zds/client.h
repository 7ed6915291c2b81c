#pragma once
// ztunnel's end of ZDS (protocols.md §5.1, "ztunnel rules"), without a socket. The caller owns the connection and the proxies:
//
//   connect -> send(connected()) -> for each packet: step = received(packet, descriptors)
//     step.stop: drain these proxies now          step.start: start this one, then send(started(uid, generation, error, now))
//     step.reply: send it if not empty            an error: the agent broke the protocol; close the connection
//   disconnect -> disconnected(): proxies go on, readiness is lost
//
// Every request is answered exactly once, and the next is not read before that. A proxy that could not be started is tried again
// every 5 s: when deadline() is reached, retry(now) hands out the next one.
// Not thread-safe. Shares the descriptors of namespaces with the Starts it hands out until they have succeeded.

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/fd.h"
#include "common/base/result.h"
#include "common/zds/messages.h"

namespace culvert::zds {

// Tells one network namespace from another: the inode of its descriptor, 0 for a descriptor that is none.
std::uint64_t netns_inode(int descriptor);

class Client {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using InodeOf = std::function<std::uint64_t(int descriptor)>;
  static constexpr std::chrono::seconds kRetry{5};

  struct Start {
    Pod pod;
    std::shared_ptr<const Fd> netns;
    std::uint64_t generation = 0;  // give it back to started()
    bool replaces = false;         // a proxy for this uid may run in an older namespace: drain that first
  };
  struct Step {
    std::optional<Start> start;
    std::vector<std::string> stop;  // uids
    std::string reply;
  };

  // `inode_of` is replaced by tests alone.
  explicit Client(InodeOf inode_of = netns_inode) : inode_of_(std::move(inode_of)) {}

  // A new connection: the packet to send first.
  std::string connected();
  void disconnected();

  Result<Step> received(std::string_view packet, std::vector<Fd> descriptors);

  // How a Start ended; an empty error is success. Returns the answer to send, empty when none is due.
  std::string started(std::string_view uid, std::uint64_t generation, std::string_view error, Time now);

  std::optional<Time> deadline() const;  // when to call retry
  std::optional<Start> retry(Time now);  // call until it yields nothing

  // Connected, the snapshot received, and every proxy running.
  bool ready() const;
  // Why not: "waiting for the node agent's snapshot", "2 pods pending (...)". Empty when ready.
  std::string pending() const;

 private:
  enum class State : std::uint8_t { kStarting, kRunning, kFailed };
  struct Entry {
    Pod pod;
    std::shared_ptr<const Fd> netns;
    std::uint64_t inode = 0;
    std::uint64_t generation = 0;
    State state = State::kStarting;
    std::string error;
    Time retry_at;
  };

  Result<Step> on(const Add& add, std::vector<Fd>& descriptors);
  Result<Step> on(const Keep& keep);
  Result<Step> on(const Del& del);
  Result<Step> on(const SnapshotSent& sent);
  Start begin(Entry& entry, bool replaces);

  InodeOf inode_of_;
  std::map<std::string, Entry, std::less<>> pods_;
  std::set<std::string, std::less<>> named_;  // by Add or Keep since connecting, until the snapshot is whole
  std::optional<std::string> answer_due_;     // uid whose start the agent waits for
  std::uint64_t generations_ = 0;
  bool connected_ = false;
  bool snapshot_ = false;
};

}  // namespace culvert::zds
