#include "common/config/source/folder_source.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <system_error>
#include <utility>
#include <vector>

#include "common/base/fd.h"
#include "common/net/file_watch.h"
#include "common/net/loop.h"
#include "common/net/timer.h"

namespace culvert::config {
namespace {

constexpr std::string_view kStatus = "status/pods/";

// Which file or folder it is, and whether it is still what it was.
struct Stamp {
  dev_t device = 0;
  ino_t number = 0;
  off_t size = 0;
  std::int64_t modified = 0;  // nanoseconds since 1970

  explicit Stamp(const struct stat& about)
      : device(about.st_dev),
        number(about.st_ino),
        size(about.st_size),
        modified(about.st_mtim.tv_sec * 1'000'000'000LL + about.st_mtim.tv_nsec) {}
  bool same_file(const Stamp& other) const { return device == other.device && number == other.number; }
  bool operator==(const Stamp&) const = default;
};

// None when there is nothing of that name. Follows links.
std::optional<Stamp> stamp_of(const std::string& path) {
  struct stat about{};
  return ::stat(path.c_str(), &about) == 0 ? std::optional(Stamp(about)) : std::nullopt;
}

bool is_link(const std::string& path) {
  struct stat about{};
  return ::lstat(path.c_str(), &about) == 0 && S_ISLNK(about.st_mode);
}

struct Content {
  std::string text;
  Stamp stamp;
};

// The whole file; nothing when it is not there (any more). Folders, pipes and the like count as not there.
Result<std::optional<Content>> read_file(const std::string& path) {
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file && (errno == ENOENT || errno == ENOTDIR)) return std::nullopt;
  if (!file) return failure_errno("opening " + path);
  struct stat about{};
  if (::fstat(file.get(), &about) != 0) return failure_errno("reading " + path);
  if (!S_ISREG(about.st_mode)) return std::nullopt;
  Content content{.text = "", .stamp = Stamp(about)};
  std::string& text = content.text;
  constexpr std::size_t kStep = 65536;
  for (;;) {
    const std::size_t before = text.size();
    text.resize(before + kStep);
    const ssize_t count = ::read(file.get(), text.data() + before, kStep);
    text.resize(before + static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return failure_errno("reading " + path);
    if (count == 0) return content;
    if (text.size() > kMaxFileBytes)
      return failure("reading " + path + ": larger than " + std::to_string(kMaxFileBytes >> 20) + " MiB (split it)");
  }
}

// What there is in a folder, sorted.
Result<std::set<std::string>> list(const std::string& folder) {
  std::set<std::string> names;
  std::error_code error;
  std::filesystem::directory_iterator entries(folder, error);
  while (!error && entries != std::filesystem::directory_iterator()) {
    names.insert(entries->path().filename().string());
    entries.increment(error);
  }
  if (error) return failure("reading the folder " + folder + ": " + error.message());
  return names;
}

// Why somebody might expect a name to be read that is not; empty when nobody would.
std::string not_read(const std::string& path, const std::string& name) {
  if (name.starts_with('.') || name == "status") return "";
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return "folders in it are not read";
  if (name.ends_with(".json")) return "only .yaml and .yml are read, JSON in them as well";
  if (Folder::reads(name) && !stamp_of(path)) return "the link leads nowhere";
  return "";
}

}  // namespace

struct FolderSource::State : std::enable_shared_from_this<State> {
  State(net::Loop& on, std::string at, FolderOptions how, Listener to)
      : loop(on), folder(std::move(at)), options(how), listener(std::move(to)), quiet(on), again(on) {}

  // One of the two folders that are watched.
  struct Side {
    std::string prefix;  // of its names: "" or "status/pods/"
    net::FileWatch watch{};
    std::optional<Stamp> watched{};  // none: it is not there
  };

  net::Loop& loop;
  std::string folder;
  FolderOptions options;
  Listener listener;
  Folder logic;
  Side files{.prefix = ""};
  Side status{.prefix = std::string(kStatus)};
  net::Timer quiet;
  net::Timer again;
  std::map<std::string, Stamp> seen;              // names that Folder holds
  std::map<std::string, std::string> unreadable;  // names that could not be read, and why
  bool closed = false;

  std::string path_of(const Side& side) const { return side.prefix.empty() ? folder : folder + "/" + side.prefix; }
  std::string path_of(const std::string& name) const { return folder + "/" + name; }

  // True when the folder that is watched is the one that has its name.
  bool stands(const Side& side) const {
    const auto now = stamp_of(path_of(side));
    return now && side.watched && now->same_file(*side.watched);
  }

  // Looks at one file as it is now.
  void look(const Side& side, const std::string& name, Diff& diff) {
    auto content = read_file(path_of(name));
    if (!content) {
      const std::string why = std::move(content).error().text;
      if (std::exchange(unreadable[name], why) != why)
        diff.problems.push_back({{name, 0}, "", "", why, "what it held stays in force"});
      return;
    }
    unreadable.erase(name);
    const auto now = Folder::Time::clock::now();
    if (*content) {
      seen.insert_or_assign(name, (*content)->stamp);
      append(diff, logic.written(name, (*content)->text, now));
    } else if (stands(side) && seen.erase(name) > 0) {
      append(diff, logic.vanished(name, now));
    }
  }

  // The names of a folder that Folder reads, and those that it held.
  Result<std::set<std::string>> names_of(const Side& side) const {
    auto listed = list(path_of(side));
    if (!listed) return std::unexpected(std::move(listed).error());
    std::set<std::string> names;
    for (const std::string& name : *listed) {
      if (Folder::reads(side.prefix + name)) names.insert(side.prefix + name);
    }
    for (const auto& [name, stamp] : seen) {
      if (name.starts_with(kStatus) == !side.prefix.empty()) names.insert(name);
    }
    return names;
  }

  // Looks at the whole of a folder: at the start, and when events were lost.
  Status look_at_all(const Side& side, Diff& diff) {
    auto names = names_of(side);
    if (!names) return std::unexpected(std::move(names).error());
    for (const std::string& name : *names) look(side, name, diff);
    return {};
  }

  static void append(Diff& diff, Diff more) {
    std::ranges::move(more.changes, std::back_inserter(diff.changes));
    std::ranges::move(more.problems, std::back_inserter(diff.problems));
    std::ranges::move(more.ignored, std::back_inserter(diff.ignored));
  }

  void deliver(Diff diff) {
    arm();
    if (!diff.empty()) listener(std::move(diff));
  }

  void arm() {
    const auto deadline = logic.deadline();
    if (!deadline || quiet.armed()) return;
    const auto left = std::max(*deadline - Folder::Time::clock::now(), Folder::Time::duration::zero());
    quiet.arm(left, [weak = weak_from_this()] {
      if (auto self = weak.lock(); self && !self->closed) self->deliver(self->logic.expire(Folder::Time::clock::now()));
    });
  }

  void arm_again() {
    again.arm(options.again, [weak = weak_from_this()] {
      if (auto self = weak.lock(); self && !self->closed) self->look_again();
    });
  }

  // A batch of events: each file is looked at once, however many events it had. False when the folder is gone.
  bool changed(Side& side, const std::vector<net::FileChange>& events) {
    using enum net::FileChange::Kind;
    if (std::ranges::contains(events, kFolderGone, &net::FileChange::kind)) {
      lose(side);
      return false;
    }
    Diff diff;
    std::set<std::string> names;
    bool all = false;
    for (const net::FileChange& event : events) {
      // "..data" is how a mounted ConfigMap swaps all of its files at once.
      if (event.kind == kLost || event.name.starts_with("..")) all = true;
      const std::string name = side.prefix + event.name;
      const bool of_interest = event.kind != kAttributes || unreadable.contains(name);
      if (!event.name.empty() && of_interest && Folder::reads(name)) names.insert(name);
    }
    if (all) {
      if (auto done = look_at_all(side, diff); !done) diff.problems.push_back({{folder, 0}, "", "", done.error().text, ""});
    } else {
      for (const std::string& name : names) look(side, name, diff);
    }
    deliver(std::move(diff));
    return true;
  }

  void lose(Side& side) {
    side.watch.close();
    side.watched.reset();
    Diff diff;
    diff.problems.push_back({{path_of(side), 0}, "", "", "the folder is gone", "what it held stays in force until it is back"});
    deliver(std::move(diff));
  }

  // Begins to watch before the first look, so that nothing falls between the two.
  Status watch(Side& side, Diff& diff) {
    auto opened = net::FileWatch::open(loop, path_of(side));
    if (!opened) return std::unexpected(std::move(opened).error());
    side.watch = std::move(*opened);
    side.watched = stamp_of(path_of(side));
    if (auto done = look_at_all(side, diff); !done) return done;
    loop.spawn(follow(shared_from_this(), &side));
    return {};
  }

  static net::Task<> follow(std::shared_ptr<State> self, Side* side) {
    for (;;) {
      const std::vector<net::FileChange> events = co_await side->watch.next();
      if (self->closed || events.empty() || !self->changed(*side, events)) break;
    }
  }

  static net::Task<> catch_up(std::shared_ptr<State> self) {
    for (Side* side : {&self->files, &self->status}) {
      if (const auto events = side->watch.take(); !events.empty()) self->changed(*side, events);
    }
    while (!self->closed && self->logic.deadline()) co_await net::sleep_for(self->loop, std::chrono::milliseconds(1));
  }

  // What the agents write; a folder that is mounted read-only has none until somebody makes it.
  Status make_status() const {
    const std::string upper = folder + "/status";
    for (const std::string& path : {upper, upper + "/pods"}) {
      if (::mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) return failure_errno("making " + path);
    }
    return {};
  }

  void look_again() {
    Diff diff;
    for (Side* side : {&files, &status}) {
      if (side == &status && !options.status) continue;
      if (stands(*side)) {
        look_at_the_unnoticed(*side, diff);
      } else if (stamp_of(path_of(*side))) {
        side->watch.close();
        if (auto done = watch(*side, diff); !done) side->watched.reset();  // next time
      } else if (side->watched) {
        lose(*side);
      }
    }
    arm_again();
    deliver(std::move(diff));
  }

  void look_at_the_unnoticed(const Side& side, Diff& diff) {
    const auto names = names_of(side);
    if (!names) return;
    const std::int64_t still_since =
        std::chrono::nanoseconds(std::chrono::system_clock::now().time_since_epoch()).count() - 1'000'000'000;
    for (const std::string& name : *names) {
      const auto now = stamp_of(path_of(name));
      const auto known = seen.find(name);
      if (unreadable.contains(name) || (!now && known != seen.end())) {
        look(side, name, diff);
      } else if (now && now->modified <= still_since) {
        const bool other = known == seen.end() || !now->same_file(known->second);
        if (other || (*now != known->second && is_link(path_of(name)))) look(side, name, diff);
      }
    }
  }

  // Names that are not read, for the log.
  void note_others(Diff& diff) const {
    const auto names = list(folder);
    if (!names) return;
    for (const std::string& name : *names) {
      if (std::string why = not_read(path_of(name), name); !why.empty()) diff.notes.push_back(path_of(name) + ": " + why);
    }
  }

  void close() {
    closed = true;
    quiet.cancel();
    again.cancel();
    files.watch.close();
    status.watch.close();
  }

  Status begin(Diff& diff) {
    if (options.status) {
      auto made = make_status();
      if (made) made = watch(status, diff);
      if (!made) diff.notes.push_back(made.error().text + ": which pods are enrolled is not known until it is there");
    }
    if (auto done = watch(files, diff); !done) return done;
    if (options.whole && !unreadable.empty()) return failure(unreadable.begin()->second);
    note_others(diff);
    return {};
  }
};

FolderSource::FolderSource(std::shared_ptr<State> state) : state_(std::move(state)) {}

FolderSource::~FolderSource() { state_->close(); }

net::Task<> FolderSource::catch_up() { return State::catch_up(state_); }

Result<std::unique_ptr<FolderSource>> FolderSource::open(net::Loop& loop, const std::string& folder, FolderOptions options,
                                                         Listener listener) {
  auto state = std::make_shared<State>(loop, folder, options, std::move(listener));
  Diff diff;
  if (auto begun = state->begin(diff); !begun) {
    state->close();
    return std::unexpected(std::move(begun).error());
  }
  state->arm();
  state->arm_again();
  state->listener(std::move(diff));
  return std::unique_ptr<FolderSource>(new FolderSource(std::move(state)));
}

}  // namespace culvert::config
