#include "controlplane/ca/files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <span>

#include "common/base/fd.h"
#include "common/base/format.h"
#include "common/base/secrets.h"

namespace culvert::controlplane {
namespace {

constexpr std::size_t kMostOfFile = 4 << 20;

Status write_all(int fd, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t count = ::write(fd, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return failure_errno("writing " + path);
    text.remove_prefix(static_cast<std::size_t>(count));
  }
  return {};
}

Status sync_folder(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  const Fd fd(::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || ::fsync(fd.get()) != 0) return failure_errno("flushing the folder of " + path);
  return {};
}

}  // namespace

Status write_file(const std::string& path, std::string_view text, Access access) {
  const std::string temporary = path + ".new";
  const mode_t mode = access == Access::kOwner ? 0600 : 0644;
  ::unlink(temporary.c_str());  // of an earlier attempt that was cut short
  const Fd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
  if (!fd) return failure_errno("making " + temporary);
  const auto fill = [&]() -> Status {
    if (::fchmod(fd.get(), mode) != 0) return failure_errno("setting the mode of " + temporary);
    if (auto written = write_all(fd.get(), text, temporary); !written) return written;
    if (::fsync(fd.get()) != 0) return failure_errno("flushing " + temporary);
    if (::rename(temporary.c_str(), path.c_str()) != 0) return failure_errno("renaming " + temporary + " to " + path);
    return {};
  };
  if (auto filled = fill(); !filled) {
    ::unlink(temporary.c_str());  // a disk that is full stays no fuller
    return filled;
  }
  return sync_folder(path);
}

Status remove_file(const std::string& path) {
  if (::unlink(path.c_str()) == 0) return sync_folder(path);
  if (errno == ENOENT) return {};
  return failure_errno("removing " + path);
}

Result<bool> exists(const std::string& path) {
  struct stat about{};
  if (::lstat(path.c_str(), &about) == 0) return true;
  if (errno == ENOENT) return false;
  return failure_errno("looking for " + path);
}

Result<std::string> read_secret(const std::string& path) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return failure_errno("opening " + path);
  struct stat about{};
  if (::fstat(fd.get(), &about) != 0) return failure_errno("reading " + path);
  if (!S_ISREG(about.st_mode)) return failure("reading " + path + ": not a file");
  if ((about.st_mode & 077) != 0) {
    return failure(
        culvert::format("reading {}: mode {:04o} lets others at it (chmod 0600 {})", path, about.st_mode & 07777, path));
  }
  if (about.st_uid != ::geteuid())
    return failure("reading " + path + ": belongs to somebody else (chown it to the user that culvertd runs as)");
  std::string text;
  text.reserve(static_cast<std::size_t>(std::clamp<off_t>(about.st_size, 0, kMostOfFile)) + 1);  // or pieces of it stay behind
  char buffer[4096];
  for (;;) {
    const ssize_t count = ::read(fd.get(), buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return failure_errno("reading " + path);
    if (count == 0) return text;
    text.append(buffer, static_cast<std::size_t>(count));
    wipe(std::as_writable_bytes(std::span(buffer)));
    if (text.size() > kMostOfFile) return failure("reading " + path + ": too large");
  }
}

Status make_private_folder(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    std::filesystem::create_directories(path, error);
    if (error) return failure("making the folder " + path + ": " + error.message());
    if (::chmod(path.c_str(), 0700) != 0) return failure_errno("setting the mode of " + path);
  }
  struct stat about{};
  if (::stat(path.c_str(), &about) != 0) return failure_errno("reading the folder " + path);
  if (!S_ISDIR(about.st_mode)) return failure(path + " is not a folder");
  if ((about.st_mode & 022) != 0) return failure("others can write to the folder " + path + " (chmod 0700 " + path + ")");
  return {};
}

Result<Fd> lock_folder(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return failure_errno("opening the folder " + path);
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return fd;
  if (errno == EWOULDBLOCK)
    return failure("the folder " + path + " is another culvertd's (two would renew each other's certificates)");
  return failure_errno("locking the folder " + path);
}

}  // namespace culvert::controlplane
