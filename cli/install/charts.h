#pragma once
// Where our charts are, on the machine that `culvert` runs on.

#include <filesystem>
#include <string>
#include <vector>

#include "common/base/result.h"

namespace culvert::cli::install {

struct Chart {
  std::filesystem::path path;  // of the chart `culvert`: a folder, or an archive
  std::string version;

  bool packed() const { return path.extension() == ".tgz"; }
};

// Places that are looked at when none is named, in this order: beside the program, as in a build tree, and as a package puts it.
std::vector<std::filesystem::path> usual_places(const std::filesystem::path& program);

// `named`: the chart itself (folder or archive), or a folder that holds culvert/ or culvert-VERSION.tgz; empty: the first of `usual` that does.
// Fails with all places that were looked at.
Result<Chart> find_chart(const std::filesystem::path& named, const std::vector<std::filesystem::path>& usual);

// The file of values of a profile. Fails naming the profiles that there are, and for an archive, out of which no file can be given to helm.
Result<std::filesystem::path> profile_of(const Chart& chart, const std::string& profile);

}  // namespace culvert::cli::install
