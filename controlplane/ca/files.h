#pragma once
// Files that hold secrets: written whole or not at all, readable by their owner only.

#include <string>
#include <string_view>

#include "common/base/fd.h"
#include "common/base/result.h"

namespace culvert::controlplane {

// Writes beside `path`, flushes to disk, renames over it, flushes the folder. Mode 0600, or 0644 when it is for everybody.
enum class Access { kOwner, kEverybody };
Status write_file(const std::string& path, std::string_view text, Access access);

// No error when it is not there.
Status remove_file(const std::string& path);

// True when there is something of that name; an error is not "no".
Result<bool> exists(const std::string& path);

// Refuses a file that others can read or write, or that somebody else owns, and says what to do.
Result<std::string> read_secret(const std::string& path);

// Makes the folder (0700) when it is missing; refuses one that others can write to.
Status make_private_folder(const std::string& path);

// Holds the folder for this process alone until the descriptor goes.
Result<Fd> lock_folder(const std::string& path);

}  // namespace culvert::controlplane
