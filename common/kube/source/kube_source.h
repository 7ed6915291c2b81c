#pragma once
// An API server as a source of changes, as config::FolderSource is for a folder: the collections that Culvert reads, each watched, and every
// difference told as a config::Diff on the client's loop.
//
//   auto source = kube::Source(client, {.of = {{config::Kind::kPod}, {config::Kind::kService}}}, registry, [&](config::Diff diff) { ... });
//
// The first Diff comes when every collection has been listed once, and holds all of it, so that nobody acts on a part; from then on there is one for
// whatever came in a turn of the loop. A server that is away changes nothing: what it told stays in force. An object that cannot be read is
// kInvalid, as a broken document of a folder is. A kind that the server has in an older version alone is read in that; one that it does not have counts as
// empty, which the log says. Holds no objects.

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/config/folder.h"
#include "common/kube/client.h"
#include "common/telemetry/registry.h"

namespace culvert::kube {

// Where the API serves a kind, in the newest version that we know.
Collection collection_of(config::Kind kind);
// The same, in the version that a server has: Source::served.
using ServedAs = std::function<Collection(config::Kind)>;

// One collection, or a part of it.
struct Wanted {
  config::Kind kind{};
  std::string ns = {};  // empty: all namespaces
  std::string labels = {};
  std::string fields = {};
};

struct SourceOptions {
  std::vector<Wanted> of;
  std::string name = "kubernetes";                                // in messages, where a file's name would stand
  std::function<config::ObjectPtr(config::ObjectPtr)> keep = {};  // what of an object is handed on, and kept; empty: all
};

class Source {
 public:
  using Listener = std::function<void(config::Diff)>;

  // Begins at once; the client must outlive it. The listener must not destroy it.
  Source(Client& client, SourceOptions options, telemetry::Registry& registry, Listener listener);
  ~Source();
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  Collection served(config::Kind kind) const;  // in the version that this server has
  bool synced() const;                         // the first Diff has been told
  // Collections that are not listed yet or may be old, with the reason: "pods: list pods: 403 Forbidden: ...".
  std::vector<std::string> troubles() const;
  // Asks the API server for the object as it is now, and ends when that, or something newer, has been told. Fails when the server cannot be asked, or
  // when the watch does not bring it in time.
  net::Task<Status> catch_up(config::Key key, std::chrono::milliseconds patience);
  // The same of all objects of these kinds, by their names and versions alone.
  net::Task<Status> catch_up_all(std::vector<config::Kind> kinds, std::chrono::milliseconds patience);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace culvert::kube
