#include "common/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace culvert {

void check_failed(const char* text, const char* file, int line) {
  std::fprintf(stderr, "CHECK failed: %s (%s:%d)\n", text, file, line);
  std::abort();
}

}  // namespace culvert
