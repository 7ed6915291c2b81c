#include "common/config/source/folder_source.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <iterator>
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

constexpr std::string_view kStatus = "status/pods";

// The whole file; nothing when it is not there (any more). Folders, pipes and the like count as not there.
Result<std::optional<std::string>> read_file(const std::string& path) {
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file && (errno == ENOENT || errno == ENOTDIR)) return std::nullopt;
  if (!file) return failure_errno("opening " + path);
  struct stat about{};
  if (::fstat(file.get(), &about) != 0) return failure_errno("reading " + path);
  if (!S_ISREG(about.st_mode)) return std::nullopt;
  std::string text;
  constexpr std::size_t kStep = 65536;
  while (text.size() <= kMaxFileBytes) {  // one byte more than allowed is enough to be refused
    const std::size_t before = text.size();
    text.resize(before + kStep);
    const ssize_t count = ::read(file.get(), text.data() + before, kStep);
    text.resize(before + static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return failure_errno("reading " + path);
    if (count == 0) break;
  }
  return text;
}

// The names in a folder that Folder reads, sorted.
Result<std::set<std::string>> list(const std::string& folder, const std::string& prefix) {
  std::set<std::string> names;
  std::error_code error;
  std::filesystem::directory_iterator entries(folder, error);
  if (error) return failure("reading the folder " + folder + ": " + error.message());
  for (; entries != std::filesystem::directory_iterator(); entries.increment(error)) {
    const std::string name = prefix + entries->path().filename().string();
    if (Folder::reads(name)) names.insert(name);
    if (error) break;
  }
  return names;
}

}  // namespace

struct FolderSource::State : std::enable_shared_from_this<State> {
  State(net::Loop& on, std::string at, Listener to) : loop(on), folder(std::move(at)), listener(std::move(to)), quiet(on) {}

  net::Loop& loop;
  std::string folder;
  Listener listener;
  Folder logic;
  net::FileWatch files;
  net::FileWatch status_files;
  net::Timer quiet;
  std::set<std::string> seen;  // names that Folder holds
  bool closed = false;

  // Looks at one file as it is now.
  void look(const std::string& name, Diff& diff) {
    auto text = read_file(folder + "/" + name);
    if (!text) {
      diff.problems.push_back({{name, 0}, "", "", text.error().text, "what it held stays in force"});
      return;
    }
    const auto now = Folder::Time::clock::now();
    if (*text) seen.insert(name);
    if (!*text && seen.erase(name) == 0) return;
    append(diff, *text ? logic.written(name, **text, now) : logic.vanished(name, now));
  }

  // Looks at the whole of a folder: at the start, and when events were lost.
  Status look_at_all(const std::string& prefix, Diff& diff) {
    auto names = list(folder + "/" + prefix, prefix);
    if (!names) return std::unexpected(std::move(names).error());
    for (const std::string& name : seen) {
      if (name.starts_with("status/") == !prefix.empty()) names->insert(name);
    }
    for (const std::string& name : *names) look(name, diff);
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

  // A batch of events: each file is looked at once, however many events it had.
  void changed(const std::string& prefix, const std::vector<net::FileChange>& events) {
    Diff diff;
    std::set<std::string> names;
    bool all = false;
    for (const net::FileChange& event : events) {
      // "..data" is how a mounted ConfigMap swaps all of its files at once.
      if (event.kind == net::FileChange::kLost || event.name.starts_with("..")) all = true;
      if (event.kind == net::FileChange::kFolderGone) {
        diff.problems.push_back(
            {{folder + "/" + prefix, 0}, "", "", "the folder is gone", "what it held stays in force; restart when it is back"});
      }
      if (!event.name.empty() && Folder::reads(prefix + event.name)) names.insert(prefix + event.name);
    }
    if (all) {
      if (auto done = look_at_all(prefix, diff); !done) diff.problems.push_back({{folder, 0}, "", "", done.error().text, ""});
    } else {
      for (const std::string& name : names) look(name, diff);
    }
    deliver(std::move(diff));
  }

  static net::Task<> follow(std::shared_ptr<State> self, net::FileWatch* watch, std::string prefix) {
    while (!self->closed) {
      const std::vector<net::FileChange> events = co_await watch->next();
      if (self->closed || events.empty()) break;
      self->changed(prefix, events);
    }
  }
};

FolderSource::FolderSource(std::shared_ptr<State> state) : state_(std::move(state)) {}

FolderSource::~FolderSource() {
  state_->closed = true;
  state_->quiet.cancel();
  state_->files.close();
  state_->status_files.close();
}

Result<std::unique_ptr<FolderSource>> FolderSource::open(net::Loop& loop, const std::string& folder, FolderOptions options,
                                                         Listener listener) {
  auto state = std::make_shared<State>(loop, folder, std::move(listener));
  Diff diff;
  // Watching begins before the first look, so that nothing falls between the two.
  auto files = net::FileWatch::open(loop, folder);
  if (!files) return std::unexpected(std::move(files).error());
  state->files = std::move(*files);
  const std::string status_prefix = std::string(kStatus) + "/";
  if (options.status) {
    std::error_code error;
    std::filesystem::create_directories(folder + "/" + std::string(kStatus), error);
    if (error) return failure("making " + folder + "/" + std::string(kStatus) + ": " + error.message());
    auto status = net::FileWatch::open(loop, folder + "/" + std::string(kStatus));
    if (!status) return std::unexpected(std::move(status).error());
    state->status_files = std::move(*status);
    if (auto done = state->look_at_all(status_prefix, diff); !done) return std::unexpected(std::move(done).error());
  }
  if (auto done = state->look_at_all("", diff); !done) return std::unexpected(std::move(done).error());
  state->arm();
  state->listener(std::move(diff));
  loop.spawn(State::follow(state, &state->files, ""));
  if (options.status) loop.spawn(State::follow(state, &state->status_files, status_prefix));
  return std::unique_ptr<FolderSource>(new FolderSource(std::move(state)));
}

}  // namespace culvert::config
