#include "common/base/result.h"

#include <cerrno>
#include <cstring>

namespace culvert {

std::string errno_text(int number) {
  char buffer[128];
  return strerror_r(number, buffer, sizeof buffer);
}

std::unexpected<Error> failure_errno(std::string_view what, Reason reason) {
  const int number = errno;
  return failure(std::string(what) + ": " + errno_text(number), reason);
}

}  // namespace culvert
