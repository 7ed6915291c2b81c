#include "common/base/secrets.h"

#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

namespace culvert {

void wipe(std::string& text) {
  text.resize(text.capacity());  // what it held before it became shorter is still behind its end
  ::explicit_bzero(text.data(), text.size());
  text.clear();
}

void wipe(std::span<std::byte> bytes) { ::explicit_bzero(bytes.data(), bytes.size()); }

// Both: a kernel that pipes core dumps to a program does not look at the limit.
bool forbid_dumps() {
  const rlimit none{0, 0};
  const bool limited = ::setrlimit(RLIMIT_CORE, &none) == 0;
  return ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 && limited;
}

}  // namespace culvert
