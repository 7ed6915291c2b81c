#pragma once
// What helm is told: argument vectors, one for each job. Pure. Helm 3.14 and newer, and 4.

#include <string>
#include <vector>

#include "cli/ask/cluster.h"

namespace culvert::cli::install {

using Words = std::vector<std::string>;

// A release, and how the cluster that it is in is reached.
struct Release {
  std::string name = "culvert";
  ClusterFlags cluster = {};  // its system_namespace is the release's
};

// What goes into values, in the order in which helm lets the later win: the profile's file, -f, then --set and its kin.
struct Values {
  std::vector<std::string> files = {};
  std::vector<std::string> set = {};
  std::vector<std::string> set_string = {};
  std::vector<std::string> set_file = {};
  std::vector<std::string> set_json = {};
};

enum class DryRun { kNo, kClient, kServer };

struct Change {
  Release release = {};
  std::string chart = {};
  Values values = {};
  bool wait = true;
  std::string timeout = "5m";
  DryRun dry_run = DryRun::kNo;
  bool reset_values = false;  // of an upgrade: forget what was set before
};

// What the command line says is what is installed, whatever an earlier one said.
Words install_words(const Change& change);
// Values of before stay, on top of the new chart's defaults; what the command line says wins.
Words upgrade_words(const Change& change);
Words uninstall_words(const Change& change);
Words template_words(const Change& change, const std::string& output_folder = {});
// What a change would send to the cluster, as JSON of a release; changes nothing. `install`: as install_words does.
Words rendered_words(Change change, bool install);
// What the cluster has: the manifest that was sent last, or what helm says of the release, as JSON.
Words manifest_words(const Release& release);
Words status_words(const Release& release);

}  // namespace culvert::cli::install
