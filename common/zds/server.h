#pragma once
// The node agent's end of ZDS (protocols.md §5.1), without sockets. The caller owns the connections and does what the returned
// actions say; times come from the caller, who calls expired() when deadline() is reached.
//
// One set of pods, any number of ztunnels (two during an upgrade). Each is brought to the set by comparing what it was told with
// what there is, strictly one request at a time: first everything as its snapshot, then Del as pods go, and Add as pods come,
// but only to the newest: the youngest process, whoever has come (back) to us last. When it goes, the one before is newest again and is
// told what it missed.
// Not thread-safe. Holds a reference to each pod's network namespace.

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/base/fd.h"
#include "common/zds/messages.h"

namespace culvert::zds {

class Server {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Id = std::uint64_t;
  static constexpr std::chrono::seconds kPatience{5};  // for a hello, and for each answer

  // What to do.
  struct Send {
    Id to = 0;
    std::string packet;
    std::shared_ptr<const Fd> netns;  // goes beside the packet, when there is one
  };
  struct Close {  // close the connection; it is forgotten already
    Id who = 0;
    std::string why;
  };
  // What happened.
  struct Added {  // a ztunnel answered the Add of this pod; an empty error is success
    std::string uid;
    Id by = 0;
    std::string error;
  };
  struct Removed {  // no connected ztunnel serves this pod any more
    std::string uid;
  };
  struct Synchronised {  // this ztunnel has acknowledged its snapshot
    Id who = 0;
  };
  using Action = std::variant<Send, Close, Added, Removed, Synchronised>;
  using Actions = std::vector<Action>;

  // A pod to serve. Without a namespace it is only kept where it runs. Again for a known uid: told again (the way to retry).
  Actions add(Pod pod, std::shared_ptr<const Fd> netns, Time now);
  Actions remove(std::string_view uid, Time now);

  // A ztunnel has connected; nothing is sent before its hello. `started`: when its process did, on any clock.
  Id connected(std::uint64_t started, Time now);
  Actions received(Id who, std::string_view packet, Time now);
  Actions disconnected(Id who, Time now);

  std::optional<Time> deadline() const;
  Actions expired(Time now);

  bool has_ztunnel() const;  // one whose snapshot is acknowledged
  std::size_t pods() const { return pods_.size(); }

 private:
  struct Entry {
    Pod pod;
    std::shared_ptr<const Fd> netns;
    std::uint64_t version = 0;  // changes with each add()
  };
  struct Peer {
    std::uint64_t started = 0;
    bool greeted = false;
    bool snapshot_sent = false;
    bool synchronised = false;
    std::map<std::string, std::uint64_t, std::less<>> told;  // uid -> version of the entry
    std::optional<Request> waiting;                          // the request that is not answered yet
    std::optional<Time> deadline;
  };

  bool is_newest(Id id) const;
  std::optional<Request> next(Id id, const Peer& peer) const;
  void answered(Id who, Peer& peer, std::string error, Actions& actions);
  bool send(Id id, Peer& peer, Request request, Time now, Actions& actions);
  void settle(Time now, Actions& actions);  // sends what each idle peer is due, tells which removals are through
  void drop(Id id, std::string why, Actions& actions);

  std::map<std::string, Entry, std::less<>> pods_;
  std::set<std::string, std::less<>> removing_;
  std::map<Id, Peer> peers_;
  Id ids_ = 0;
  std::uint64_t versions_ = 0;
};

}  // namespace culvert::zds
