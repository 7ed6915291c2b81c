#pragma once
// Files of the node's CNI folders: read whole, changed so that whoever reads at any moment sees the old one or the new one. Internal to install.

#include <filesystem>
#include <vector>

#include "cni/install/conflist.h"

namespace culvert::install {

// The CNI configuration in a folder, by name. Files that are too long to be any, what is no file and what we may not read are left out. Fails when one
// cannot be read for a reason that has nothing to do with it: nobody shall think that it is gone.
Result<std::vector<File>> read_folder(const std::filesystem::path& folder);

// Writes beside, then renames. A new file gets the mode of `change.like`, or 0600.
Status apply(const std::filesystem::path& folder, const Change& change);

// Copies a program, unless the same is there. True when it was not.
Result<bool> copy_program(const std::filesystem::path& from, const std::filesystem::path& to);

}  // namespace culvert::install
