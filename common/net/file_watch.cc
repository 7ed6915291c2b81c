#include "common/net/file_watch.h"

#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "common/net/descriptor.h"

namespace culvert::net {
namespace {

constexpr std::uint32_t kEvents =
    IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

// A created file is reported when it is written and closed; links are whole as soon as they are there.
bool is_link(const std::string& path) {
  struct stat status{};
  return ::lstat(path.c_str(), &status) == 0 && (S_ISLNK(status.st_mode) || (S_ISREG(status.st_mode) && status.st_nlink > 1));
}

void add(std::vector<FileChange>& changes, FileChange change) {
  std::erase_if(changes, [&](const FileChange& known) { return known.name == change.name; });  // the last word counts
  changes.push_back(std::move(change));
}

void add(std::vector<FileChange>& changes, const inotify_event& event, const std::string& folder) {
  const std::string name = event.len > 0 ? event.name : "";
  if (event.mask & IN_Q_OVERFLOW) return add(changes, {FileChange::kLost, ""});
  if (event.mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT)) return add(changes, {FileChange::kFolderGone, ""});
  if (event.mask & (IN_DELETE | IN_MOVED_FROM)) return add(changes, {FileChange::kRemoved, name});
  if (event.mask & IN_ATTRIB) {
    const bool more_is_known = std::ranges::contains(changes, name, &FileChange::name);
    if (!name.empty() && !more_is_known) changes.push_back({FileChange::kAttributes, name});
    return;
  }
  if ((event.mask & IN_CREATE) && !is_link(folder + "/" + name)) return;
  add(changes, {FileChange::kChanged, name});
}

}  // namespace

struct FileWatch::State {
  Descriptor descriptor;
  std::string folder;

  void drain(std::vector<FileChange>& changes) const;
};

FileWatch::FileWatch() = default;
FileWatch::~FileWatch() { close(); }
FileWatch::FileWatch(FileWatch&&) noexcept = default;
FileWatch& FileWatch::operator=(FileWatch&& other) noexcept {
  if (this != &other) {
    close();
    state_ = std::move(other.state_);
  }
  return *this;
}

Result<FileWatch> FileWatch::open(Loop& loop, const std::string& folder) {
  Fd inotify(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!inotify || ::inotify_add_watch(inotify.get(), folder.c_str(), kEvents) < 0) return failure_errno("watching " + folder);
  auto descriptor = Descriptor::adopt(loop, std::move(inotify));
  if (!descriptor) return std::unexpected(descriptor.error());
  FileWatch watch;
  watch.state_ = std::make_shared<State>(std::move(*descriptor), folder);
  return watch;
}

// What is there, read until there is no more.
void FileWatch::State::drain(std::vector<FileChange>& changes) const {
  alignas(inotify_event) char buffer[16 * 1024];
  for (ssize_t n = 0; (n = ::read(descriptor.fd(), buffer, sizeof buffer)) > 0;) {
    for (const char* at = buffer; at < buffer + n;) {
      const auto* event = reinterpret_cast<const inotify_event*>(at);
      add(changes, *event, folder);
      at += sizeof(inotify_event) + event->len;
    }
  }
}

Task<std::vector<FileChange>> FileWatch::next() {
  std::vector<FileChange> changes;
  const auto state = state_;
  while (state && state->descriptor) {
    state->drain(changes);
    if (!changes.empty()) break;
    std::ignore = co_await state->descriptor.readable();
  }
  co_return changes;
}

std::vector<FileChange> FileWatch::take() {
  std::vector<FileChange> changes;
  if (state_ && state_->descriptor) state_->drain(changes);
  return changes;
}

void FileWatch::close() {
  if (state_) state_->descriptor.close();
}

}  // namespace culvert::net
