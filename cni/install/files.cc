#include "cni/install/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "common/base/fd.h"
#include "common/base/format.h"

namespace culvert::install {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostBytes = 1 << 20;  // of a configuration
constexpr std::size_t kMostProgram = 64 << 20;
constexpr int kNotTheFiles[] = {EMFILE, ENFILE, ENOMEM, EIO};  // faults of the machine

// The whole file, or nothing but a reason; errno tells some apart.
Result<std::string> read_file(const fs::path& file, std::size_t most) {
  const Fd in(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat status{};
  if (!in || ::fstat(in.get(), &status) != 0) return failure_errno("reading " + file.string());
  if (!S_ISREG(status.st_mode)) return failure(culvert::format("reading {}: it is no file", file.string()));
  if (std::cmp_greater(status.st_size, most))
    return failure(culvert::format("reading {}: it is longer than {} bytes", file.string(), most));
  std::string text(static_cast<std::size_t>(status.st_size), '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const auto got = ::read(in.get(), text.data() + size, text.size() - size);
    if (got < 0) return failure_errno("reading " + file.string());
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  text.resize(size);
  return text;
}

Status write_file(const fs::path& file, std::string_view text, mode_t mode) {
  const auto beside = file.parent_path() / ("." + file.filename().string() + ".culvert-new");
  const auto fail = [&](std::string_view what) -> Status {
    auto failed = failure_errno(culvert::format("{} {}", what, beside.string()));
    ::unlink(beside.c_str());
    return failed;
  };
  ::unlink(beside.c_str());
  Fd out(::open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!out) return fail("making");
  while (!text.empty()) {
    const auto size = ::write(out.get(), text.data(), text.size());
    if (size < 0) return fail("writing");
    text.remove_prefix(static_cast<std::size_t>(size));
  }
  // On the disk before it has its name: a node that loses power keeps one or the other.
  if (::fchmod(out.get(), mode) != 0 || ::fsync(out.get()) != 0) return fail("writing");
  out.reset();
  if (std::rename(beside.c_str(), file.c_str()) != 0) return fail("renaming");
  const Fd folder(::open(file.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder) ::fsync(folder.get());
  return {};
}

mode_t mode_of(const fs::path& file) {
  struct stat status{};
  return ::stat(file.c_str(), &status) == 0 ? status.st_mode & 0777 : 0600;
}

}  // namespace

Result<std::vector<File>> read_folder(const fs::path& folder) {
  std::vector<File> files;
  std::error_code problem;
  for (fs::directory_iterator entry(folder, problem), end; !problem && entry != end; entry.increment(problem)) {
    const auto name = entry->path().filename().string();
    if (name.starts_with('.')) continue;
    errno = 0;
    auto text = read_file(entry->path(), kMostBytes);
    if (text) files.push_back({.name = name, .text = *std::move(text)});
    else if (std::ranges::contains(kNotTheFiles, errno)) return std::unexpected(std::move(text).error());
  }
  if (problem) return failure(culvert::format("reading the folder {}: {}", folder.string(), problem.message()));
  std::ranges::sort(files, {}, &File::name);
  return files;
}

Status apply(const fs::path& folder, const Change& change) {
  const auto file = folder / change.name;
  if (change.text) return write_file(file, *change.text, mode_of(change.like.empty() ? file : folder / change.like));
  if (::unlink(file.c_str()) == 0 || errno == ENOENT) return {};
  return failure_errno("deleting " + file.string());
}

Result<bool> copy_program(const fs::path& from, const fs::path& to) {
  const auto program = read_file(from, kMostProgram);
  if (!program) return std::unexpected(program.error());
  const auto there = read_file(to, kMostProgram);
  if (there && *there == *program && (mode_of(to) & 0111) != 0) return false;
  if (auto written = write_file(to, *program, 0755); !written) return std::unexpected(written.error());
  return true;
}

}  // namespace culvert::install
