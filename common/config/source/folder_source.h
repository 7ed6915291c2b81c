#pragma once
// The live part of config::Folder: reads a folder once, then watches it (inotify), and reports every difference on its loop.
//
//   auto source = FolderSource::open(loop, "/etc/culvert/config", {.status = true}, [&](config::Diff diff) { store.apply(std::move(diff)); });
//
// The callback first runs inside open(), with everything that the folder holds; after that on the loop's thread, within milliseconds of a change.
// Files are read when their writer closes or renames them, never half written. What inotify does not tell (the target of a link outside the folder,
// a name that was linked, a folder that was swapped or is back after it was gone) is found by looking again, once it has been still for a second.
// A folder that is gone changes nothing: what it held stays. Destroy it on the loop's thread; the callback then never runs again.
// Fails when the folder cannot be read or watched. A file that cannot be read later is a problem in the Diff, and what it held stays.

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "common/base/result.h"
#include "common/config/folder.h"
#include "common/net/task.h"

namespace culvert::net {
class Loop;
}

namespace culvert::config {

struct FolderOptions {
  bool status = false;  // also read status/pods/ and lay it over the pods; made when missing, if the folder can be written to
  bool whole = false;   // open fails when a file cannot be read: better not begin than begin without a policy that it may hold
  std::chrono::milliseconds again{5000};  // how often to look for what inotify does not tell
};

class FolderSource {
 public:
  using Listener = std::function<void(Diff)>;

  static Result<std::unique_ptr<FolderSource>> open(net::Loop& loop, const std::string& folder, FolderOptions options,
                                                    Listener listener);
  ~FolderSource();
  FolderSource(const FolderSource&) = delete;
  FolderSource& operator=(const FolderSource&) = delete;

  // Ends when everything that was saved or removed in the folder before this call has been told, but for what inotify does not tell.
  net::Task<> catch_up();

 private:
  struct State;
  explicit FolderSource(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace culvert::config
