#pragma once
// The folder of YAML that a world is made of, as text, followed by the rules that culvertd and the node agents follow theirs by
// (config::FolderSource; it tells objects and runs on common/net, a world needs what stands in the files and runs on Loop):
// a file is read when its writer closes or renames it, never half written; one that vanishes, or is found empty, counts as it was until it has been
// away for config::Folder::kQuiet, so that an editor that saves by renaming takes nothing away; what inotify does not tell (the target of a link, a
// folder that was swapped) is found by looking again; a folder that is gone, or a file that cannot be read, changes nothing.

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "cli/local/loop.h"
#include "common/base/fd.h"
#include "common/base/result.h"

namespace culvert::local {

// What counts as standing in the files. Sans-I/O: told what was found of which name, and when.
class Texts {
 public:
  using Time = Loop::Clock::time_point;

  // The file holds `text` now; none: it is not there. True when anything is another than before.
  bool found(const std::string& name, std::optional<std::string> text, Time now);
  // Drops what has been away for long enough. True when there was any.
  bool expire(Time now);
  // When expire() wants to be called; none when every file is there.
  std::optional<Time> deadline() const;

  const std::map<std::string, std::string>& all() const { return texts_; }  // name -> text, of files that are away as well
  bool away(const std::string& name) const { return away_.contains(name); }

 private:
  std::map<std::string, std::string> texts_;
  std::map<std::string, Time> away_;  // since when
};

// The live part. `changed` is called on the loop whenever texts() or unreadable() is another than before.
class YamlFolder {
 public:
  // `folder` is what stands at `path` now; where that is, is remembered here: later, mounts of our own may hide it.
  YamlFolder(Loop& loop, std::string path, Fd folder, std::function<void()> changed,
             std::chrono::milliseconds again = std::chrono::seconds(5));
  ~YamlFolder();
  YamlFolder(const YamlFolder&) = delete;
  YamlFolder& operator=(const YamlFolder&) = delete;

  // Begins to follow it; `changed` is not called for what is there already. Fails when the folder cannot be watched.
  Status open();
  // Looks at everything that was saved before this call.
  void catch_up();

  const Texts& texts() const { return texts_; }
  const std::map<std::string, std::string>& unreadable() const { return unreadable_; }  // name -> why; what it held stays

 private:
  // Which file it is, and whether it is still what it was.
  struct Stamp {
    dev_t device = 0;
    ino_t number = 0;
    off_t size = 0;
    std::int64_t modified = 0;  // nanoseconds since 1970
    friend bool operator==(const Stamp&, const Stamp&) = default;
  };

  Status watch();
  bool stands() const;
  bool follow_swap();
  std::set<std::string> names() const;
  std::set<std::string> told(bool& lost);
  bool look(const std::set<std::string>& names);
  bool look_at(const std::string& name);
  void look_again();
  void arm();
  void arm_again();
  std::optional<Stamp> stamp_of(const std::string& name) const;

  Loop& loop_;
  std::string path_, name_;  // name_: in parent_
  Fd folder_, parent_, watch_;
  std::function<void()> changed_;
  std::chrono::milliseconds again_;
  Texts texts_;
  std::map<std::string, Stamp> seen_;
  std::map<std::string, std::string> unreadable_;
  Loop::Timer quiet_timer_ = 0, again_timer_ = 0;
};

}  // namespace culvert::local
