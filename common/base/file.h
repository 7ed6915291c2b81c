#pragma once
// Files as a whole. Of any thread; blocks as long as the file system does.

#include <cstddef>
#include <string>

#include "common/base/result.h"

namespace culvert {

inline constexpr std::size_t kLargestFile = 256 * 1024 * 1024;

// The content of a file. Fails with the path and the system's words: when it is not there, when it is a folder, and when it is larger than
// `most` bytes, so that a path that names the wrong thing does not fill the memory. Does not wait for a FIFO's writer.
Result<std::string> read_file(const std::string& path, std::size_t most = kLargestFile);

}  // namespace culvert
