#pragma once
// Events of pods, as `kubectl describe pod` shows them. On the client's loop.
//
// One that repeats is one Event with a count. They are written one after the other, again and again while the server is away or busy; when
// more come than it takes, the oldest are dropped and counted: nothing waits for an Event.

#include <cstdint>
#include <deque>
#include <map>
#include <string>

#include "cni/agent/cluster.h"
#include "common/base/result.h"
#include "common/kube/client.h"
#include "common/kube/request.h"
#include "common/net/event.h"
#include "common/net/task.h"
#include "common/telemetry/registry.h"

namespace culvert::agent {

// The Event's object. `when` as RFC 3339 has it. Pure.
struct EventText {
  std::string name;  // of the object: the same for the same news of the same pod
  std::string json;
};
EventText event_of(const config::Pod& pod, const News& news, const std::string& node, int count, const std::string& first,
                   const std::string& last);

class KubeEvents {
 public:
  // The client and the registry outlive it, and it the loop's run.
  KubeEvents(kube::Client& client, std::string node, telemetry::Registry& registry);
  KubeEvents(const KubeEvents&) = delete;
  KubeEvents& operator=(const KubeEvents&) = delete;

  void tell(const config::Pod& pod, News news);

 private:
  struct Item {
    std::shared_ptr<const config::Pod> pod;
    News news;
    std::string when;
  };
  struct Told {
    int count = 0;
    std::string first;
  };
  struct Written {
    Status status = {};
    bool later = false;  // it may be taken another time
  };
  net::Task<> write_all();
  kube::Request counted(const Item& item);
  net::Task<Written> write(const kube::Request& event);

  kube::Client& client_;
  const std::string node_;
  std::deque<Item> queue_;
  std::map<std::string, Told> told_;  // by namespace and name of the Event
  std::uint64_t dropped_ = 0;
  net::Event changed_;
};

}  // namespace culvert::agent
