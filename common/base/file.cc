#include "common/base/file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "common/base/fd.h"
#include "common/base/format.h"

namespace culvert {

Result<std::string> read_file(const std::string& path, std::size_t most) {
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) return failure_errno("opening " + path);
  std::string text;
  char buffer[16 * 1024];
  for (;;) {
    const ssize_t count = ::read(file.get(), buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return failure_errno("reading " + path);
    if (count == 0) return text;
    text.append(buffer, static_cast<std::size_t>(count));
    if (text.size() > most) return failure(culvert::format("reading {}: it is larger than {} bytes", path, most));
  }
}

}  // namespace culvert
