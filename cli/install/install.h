#pragma once
// `culvert install`, `upgrade`, `uninstall` and `manifest`: the operator's helm with our charts. Each returns the exit code; helm's own where helm
// fails. Blocks; one thread.

#include <filesystem>
#include <string>

#include "cli/install/helm.h"

namespace culvert::cli::install {

struct Options {
  Change change = {};  // but for the chart
  std::filesystem::path charts = {};
  std::string profile = {};
  bool yes = false;   // nothing is asked
  bool diff = false;  // of an upgrade: only say what would change
  bool purge = false;
  std::string output_folder = {};  // of generate: files instead of one text
};

int install(Options options);
// With `diff`: 0 when nothing would change, 1 when something would, 2 when that cannot be told.
int upgrade(Options options);
int uninstall(const Options& options);
int generate(Options options);
// What the cluster has against what an install with these words would make of it. As upgrade with `diff`.
int diff(Options options);

}  // namespace culvert::cli::install
