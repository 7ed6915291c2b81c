#pragma once
// Log levels as istioctl's users write them, and as ztunnels read them. Pure.

#include <string>
#include <string_view>

#include "common/base/result.h"

namespace culvert::cli {

// "access:debug,info" -> "access=debug,info"; "warning" -> "warn", "critical" -> "error". Fails naming the word that is no level.
Result<std::string> log_directive(std::string_view written);

}  // namespace culvert::cli
