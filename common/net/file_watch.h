#pragma once
// Changes in one folder (inotify). Says which names changed; reading them is the caller's.

#include <memory>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/net/loop.h"

namespace culvert::net {

struct FileChange {
  enum class Kind : std::uint8_t {
    kChanged,     // `name` was written and closed, or moved here
    kRemoved,     // `name` was deleted or moved away
    kAttributes,  // mode, owner or times of `name` changed; what it says did not
    kLost,        // events were lost: look at the whole folder
    kFolderGone   // the folder itself was deleted or moved; nothing more will come
  };
  using enum Kind;
  Kind kind = kChanged;
  std::string name;

  friend bool operator==(const FileChange&, const FileChange&) = default;
};

class FileWatch {
 public:
  FileWatch();
  ~FileWatch();
  FileWatch(FileWatch&&) noexcept;
  FileWatch& operator=(FileWatch&&) noexcept;

  // Watches from now on: open it before the first look at the folder, so that nothing is missed.
  static Result<FileWatch> open(Loop& loop, const std::string& folder);

  // Waits for changes; returns all that are there. Empty after close().
  Task<std::vector<FileChange>> next();
  // All that are there now, which next() then does not return; may be none.
  std::vector<FileChange> take();
  void close();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace culvert::net
