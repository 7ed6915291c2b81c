#include "cli/local/yaml_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <utility>

#include "cli/local/root.h"
#include "common/base/format.h"
#include "common/config/folder.h"

namespace culvert::local {
namespace {

constexpr std::uint32_t kEvents =
    IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
constexpr auto kStill = std::chrono::seconds(1);  // who writes a file that inotify does not tell of is done with it

bool is_blank(std::string_view text) { return text.find_first_not_of(" \t\r\n") == std::string_view::npos; }

}  // namespace

bool Texts::found(const std::string& name, std::optional<std::string> text, Time now) {
  const auto known = texts_.find(name);
  if (known != texts_.end() && (!text || is_blank(*text))) return away_.emplace(name, now).second;
  if (!text) return false;
  const bool back = away_.erase(name) > 0;
  if (known != texts_.end() && known->second == *text) return back;
  texts_[name] = *std::move(text);
  return true;
}

bool Texts::expire(Time now) {
  return std::erase_if(away_, [&](const auto& entry) {
           const bool due = now - entry.second >= config::Folder::kQuiet;
           if (due) texts_.erase(entry.first);
           return due;
         }) > 0;
}

std::optional<Texts::Time> Texts::deadline() const {
  if (away_.empty()) return std::nullopt;
  return std::ranges::min_element(away_, {}, [](const auto& entry) { return entry.second; })->second + config::Folder::kQuiet;
}

YamlFolder::YamlFolder(Loop& loop, std::string path, Fd folder, std::function<void()> changed, std::chrono::milliseconds again)
    : loop_(loop), path_(std::move(path)), folder_(std::move(folder)), changed_(std::move(changed)), again_(again) {
  auto whole = std::filesystem::path(path_).lexically_normal();
  if (!whole.has_filename()) whole = whole.parent_path();  // "samples/"
  name_ = whole.has_filename() ? whole.filename().string() : ".";
  parent_.reset(::open(whole.parent_path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
}

YamlFolder::~YamlFolder() {
  if (watch_) loop_.forget(watch_.get());
  loop_.cancel(quiet_timer_);
  loop_.cancel(again_timer_);
}

Status YamlFolder::open() {
  if (auto watching = watch(); !watching) return watching;
  look(names());
  arm_again();
  return {};
}

// Watches before the first look, so that nothing falls between the two.
Status YamlFolder::watch() {
  if (watch_) loop_.forget(watch_.get());
  watch_.reset(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  const std::string folder = culvert::format("/proc/self/fd/{}", folder_.get());
  if (!watch_ || inotify_add_watch(watch_.get(), folder.c_str(), kEvents) < 0) return failure_errno("watching " + path_);
  loop_.watch(watch_.get(), [this] { catch_up(); });
  return {};
}

void YamlFolder::catch_up() {
  bool lost = false;
  auto touched = told(lost);
  if (look(lost ? names() : touched)) changed_();
}

// The names that inotify has events of, each of which is looked at once; `lost` when all are to be looked at.
std::set<std::string> YamlFolder::told(bool& lost) {
  std::set<std::string> names;
  alignas(inotify_event) std::array<char, 16384> buffer;
  for (ssize_t count = 0; (count = read(watch_.get(), buffer.data(), buffer.size())) > 0;) {
    for (const char* at = buffer.data(); at < buffer.data() + count;) {
      const auto& event = *reinterpret_cast<const inotify_event*>(at);
      at += sizeof event + event.len;
      const std::string name = event.len > 0 ? event.name : "";
      // "..data" is how a mounted ConfigMap swaps all of its files at once.
      lost = lost || (event.mask & IN_Q_OVERFLOW) != 0 || name.starts_with("..");
      if (!config::Folder::reads(name)) continue;
      // What is created is told once more when it is written and closed; a link is whole as soon as it is there.
      struct stat about{};
      const bool linked = fstatat(folder_.get(), name.c_str(), &about, AT_SYMLINK_NOFOLLOW) == 0 &&
                          (S_ISLNK(about.st_mode) || about.st_nlink > 1);
      if ((event.mask & IN_CREATE) == 0 || linked) names.insert(name);
    }
  }
  return names;
}

// All that are there, and all that were.
std::set<std::string> YamlFolder::names() const {
  std::set<std::string> names;
  for (const auto& [name, text] : texts_.all()) names.insert(name);
  DIR* entries = opendir(culvert::format("/proc/self/fd/{}", folder_.get()).c_str());
  if (entries == nullptr) return names;
  while (const dirent* entry = readdir(entries)) {
    if (config::Folder::reads(entry->d_name)) names.insert(entry->d_name);
  }
  closedir(entries);
  return names;
}

bool YamlFolder::look(const std::set<std::string>& names) {
  if (!stands()) return false;  // what it held stays until it is back, or another one is there
  bool other = false;
  for (const auto& name : names) other = look_at(name) || other;
  arm();
  return other;
}

bool YamlFolder::look_at(const std::string& name) {
  const auto now = Loop::Clock::now();
  const auto stamp = stamp_of(name);  // of before: what is written meanwhile is looked at again
  if (!stamp) {
    const bool stood = unreadable_.erase(name) > 0;
    seen_.erase(name);
    return texts_.found(name, std::nullopt, now) || stood;
  }
  auto text = read_file(culvert::format("/proc/self/fd/{}/{}", folder_.get(), name));
  seen_[name] = *stamp;
  if (!text) {
    std::string& why = unreadable_[name];
    return std::exchange(why, "reading " + path_ + "/" + name + ": what it held stays in force") != why;
  }
  const bool mended = unreadable_.erase(name) > 0;
  return texts_.found(name, *std::move(text), now) || mended;
}

// None when there is no file of that name; folders, pipes and the like count as none. Follows links.
std::optional<YamlFolder::Stamp> YamlFolder::stamp_of(const std::string& name) const {
  struct stat about{};
  if (fstatat(folder_.get(), name.c_str(), &about, 0) != 0 || !S_ISREG(about.st_mode)) return std::nullopt;
  return Stamp{about.st_dev, about.st_ino, about.st_size, about.st_mtim.tv_sec * 1'000'000'000LL + about.st_mtim.tv_nsec};
}

// Is the folder that is watched the one that has its name?
bool YamlFolder::stands() const {
  struct stat held{}, named{};
  return fstat(folder_.get(), &held) == 0 && fstatat(parent_.get(), name_.c_str(), &named, 0) == 0 &&
         held.st_dev == named.st_dev && held.st_ino == named.st_ino;
}

void YamlFolder::arm() {
  loop_.cancel(quiet_timer_);
  const auto deadline = texts_.deadline();
  if (!deadline) return;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline - Loop::Clock::now());
  quiet_timer_ = loop_.after(std::max(left, std::chrono::milliseconds(0)), [this] {
    look(names());  // it may be back, and we are late
    if (texts_.expire(Loop::Clock::now())) changed_();
    arm();
  });
}

void YamlFolder::arm_again() {
  again_timer_ = loop_.after(again_, [this] {
    look_again();
    arm_again();
  });
}

// Another folder has the name: that one counts.
bool YamlFolder::follow_swap() {
  Fd folder(openat(parent_.get(), name_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder) return false;
  folder_ = std::move(folder);
  return watch().has_value();
}

void YamlFolder::look_again() {
  if (!stands()) {
    if (follow_swap() && look(names())) changed_();
    return;
  }
  std::set<std::string> unnoticed;
  const auto still = std::chrono::system_clock::now() - kStill;
  for (const auto& name : names()) {
    const auto now = stamp_of(name);
    const auto known = seen_.find(name);
    const bool other = now ? known == seen_.end() || *now != known->second : known != seen_.end();
    const bool done = !now || std::chrono::nanoseconds(now->modified) <= still.time_since_epoch();
    if ((other && done) || unreadable_.contains(name)) unnoticed.insert(name);
  }
  if (look(unnoticed)) changed_();
}

}  // namespace culvert::local
