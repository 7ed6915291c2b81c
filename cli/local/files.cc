#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "cli/local/root.h"
#include "common/base/fd.h"

namespace culvert::local {

Status write_file(const std::string& path, std::string_view text, unsigned mode) {
  const auto slash = path.rfind('/');
  const std::string next = path.substr(0, slash + 1) + "." + path.substr(slash + 1) + "~";  // a name that no reader takes
  {
    const Fd fd(open(next.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode));
    if (!fd) return failure_errno("writing " + path);
    while (!text.empty()) {
      const auto count = write(fd.get(), text.data(), text.size());
      if (count <= 0) return failure_errno("writing " + path);
      text.remove_prefix(static_cast<std::size_t>(count));
    }
  }
  if (rename(next.c_str(), path.c_str()) != 0) return failure_errno("writing " + path);
  return {};
}

Result<std::string> read_file(const std::string& path) {
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return failure_errno("reading " + path);
  std::string text;
  std::array<char, 65536> buffer;
  for (;;) {
    const auto count = read(fd.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return failure_errno("reading " + path);
    if (count == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(count));
  }
}

}  // namespace culvert::local
