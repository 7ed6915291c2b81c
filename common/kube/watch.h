#pragma once
// One collection of the API server, followed for as long as the Watch lives: what is in it, and every change. On the client's loop.
//
//   kube::Watch watch(client, {.of = {.plural = "services"}}, [&](kube::Event event) { ... });
//
// begin --> list (streaming, or in pages) --> watch --> watch from where the last one ended --> ...
//              ^                                |
//              +---- 410: too long ago ---------+     what the new list does not have is told gone once the list is whole
//
// Nothing that goes wrong takes back what was told: a server that is gone for an hour leaves all in force, and is asked again at growing
// intervals with jitter. A collection that the server does not serve (404: its CRD is not installed) counts as empty, and is looked for
// again every so often; one that had objects has to be missing twice. Of several versions the newest that is served is followed, also when that
// becomes another one. Holds names, uids and versions, no objects.

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/kube/client.h"
#include "common/kube/event.h"
#include "common/kube/request.h"
#include "common/kube/splitter.h"

namespace culvert::kube {

struct WatchOptions {
  Collection of;                        // in its newest version
  std::vector<std::string> older = {};  // which are read as well, newest first
  std::string ns = {};                  // empty: of all namespaces
  std::string labels = {};
  std::string fields = {};
  bool metadata = false;  // of each object its metadata only: what is in it never comes here
  bool secret = false;    // the texts of objects are not told (Put::json), and wiped where they have been
  bool streaming = true;  // lists by streaming where the server knows how; it is asked once
  unsigned page = 500;    // objects of a list at a time
  Splitter::Limits limits = {};

  std::chrono::seconds watch_for{300};        // before a watch is begun anew; up to twice as long, so that not all do it at once
  std::chrono::milliseconds silence{60'000};  // in the middle of a list: the server is taken for dead
  std::chrono::milliseconds least{500};       // between two tries, growing
  std::chrono::milliseconds most{30'000};     // up to this
  std::chrono::milliseconds missing{30'000};  // until a collection that is not served is looked for again
  std::chrono::milliseconds settled{5'000};   // a watch that lasts this long is a good one
  std::chrono::seconds older_for{30};         // a watch of an older version: then newer ones are looked for
};

class Watch {
 public:
  using Listener = std::function<void(Event)>;

  // Begins at once. The client must outlive it. The listener may do what it likes, except destroying the Watch.
  Watch(Client& client, WatchOptions options, Listener listener);
  // Ends it; nothing more is told.
  ~Watch();
  Watch(const Watch&) = delete;

  const Collection& of() const;  // in the version that is followed
  bool synced() const;
  std::size_t held() const;  // objects
  // The version of an object that was told last; empty when that could not be read. None when there is no such object.
  std::optional<std::string> version_of(const Key& key) const;

  struct State;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace culvert::kube
