#pragma once
// A folder of YAML as a source of changes, without the folder: told what stands in which file, answers what changed. Sans-I/O, single-threaded.
//
// A change takes effect at once. A file that vanishes (or is found empty: somebody is about to write it) counts as deleted after kQuiet, so that
// editors that write a new file and rename it over the old one cause no gap. A broken object leaves its last good version in force; a document that
// does not say which object it is leaves in force all that its file held and that is not there anew. A policy that cannot be read and has no good
// version is said to be invalid under its name, or under its place when it has none, so that what stands behind the source can deny.
// The same object in two files: the file whose name sorts first wins, and the other is a problem.
// Files under status/pods/ hold what a node agent would patch onto a pod (its annotations): they are laid over the pod of that name and take
// effect at once in both directions, because they are written atomically. For a pod that moved there may be two: that of its own uid and node counts.

#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "common/config/object.h"
#include "common/config/parse.h"
#include "common/config/problem.h"

namespace culvert::config {

// What an API server keeps of an object beside what its user wrote.
struct Standing {
  std::int64_t generation = 0;
  std::string version = {};  // resourceVersion; empty: the source is no API server
  std::string status = {};   // the JSON of its status; empty when there is none, or when has_status() does not hold

  friend bool operator==(const Standing&, const Standing&) = default;
};

// One step of a source, whatever the source is.
struct Change {
  enum class What {
    kPut,      // `object` is new or differs from before
    kDelete,   // the object is gone
    kInvalid,  // the newest version of `key` cannot be read: the last good one, if any, stays in force
  };
  What what = What::kPut;
  Key key;
  ObjectPtr object;        // kPut only
  Place place;             // where it stands, for messages
  Standing standing = {};  // of kPut and kInvalid, as far as it can be seen
};

struct Diff {
  std::vector<Change> changes;     // in order
  std::vector<Problem> problems;   // to be logged as errors
  std::vector<Ignored> ignored;    // documents of kinds that we do not read, said once per reading of the file
  std::vector<std::string> notes;  // what else is worth a line

  bool empty() const { return changes.empty() && problems.empty() && ignored.empty() && notes.empty(); }
};

class Folder {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::milliseconds kQuiet{50};

  // True for names that are read: "x.yaml", "x.yml", not hidden, no "~" at the end, and "status/pods/x.yaml"; nothing else of status/.
  static bool reads(std::string_view name);

  // The file `name` (relative to the folder) holds `text` now.
  Diff written(const std::string& name, std::string_view text, Time now);
  // The file is not there any more.
  Diff vanished(const std::string& name, Time now);
  // Applies the deletions that are due.
  Diff expire(Time now);
  // When expire wants to be called; none when nothing is pending.
  std::optional<Time> deadline() const;

  // What is in force now, status laid over.
  const std::map<Key, ObjectPtr>& objects() const { return in_force_; }

 private:
  struct File {
    std::map<Key, Parsed> objects;  // the last good version of each
    std::map<Key, Place> invalid;   // keys whose newest version here is broken
  };
  struct Winner {
    const Parsed* parsed = nullptr;
    std::string file;
  };

  using Places = std::map<Key, Place>;

  static File read_file(const std::string& name, std::string_view text, const File& before, Diff& diff);
  static void keep(File& file, const File& before, const Places& nameless);
  void replace(const std::string& name, File file, Diff& diff);
  void settle(const Key& key, Diff& diff);
  Winner winner(const Key& key, Diff& diff) const;
  Diff status_changed(const std::string& name, std::string_view text);
  const Metadata* status_of(const Key& key, const Pod& pod) const;
  ObjectPtr with_status(const Key& key, const ObjectPtr& object) const;

  std::map<std::string, File> files_;
  std::map<std::string, Time> gone_;              // files that vanished, and when
  std::map<Key, std::set<std::string>> holders_;  // the files that hold a key, good or broken; the first that is there wins
  std::map<std::string, Key> status_names_;       // files under status/pods/, and the pod of each
  std::map<Key, std::map<std::string, ObjectPtr>> status_;  // by file
  std::map<Key, ObjectPtr> in_force_;
  std::set<Key> invalid_;
};

}  // namespace culvert::config
