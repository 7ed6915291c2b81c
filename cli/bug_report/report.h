#pragma once
// `culvert bug-report`: what is needed to find out what is wrong with a mesh, in one file that may be shown to others. Exit code: 0 written (also when not
// everything could be gathered: could-not.txt in it says what), 1 not.

#include <cstdint>
#include <string>

#include "cli/ask/cluster.h"
#include "cli/bug_report/plan.h"

namespace culvert::cli {

struct BugReportOptions {
  ClusterFlags cluster = {};
  std::string output = {};  // empty: culvert-bug-report-TIME.tar.gz, here
  std::string node = {};    // only the pods of the mesh on this node, and the control plane; empty: all
  LogLimits logs = {};
  std::size_t most_mib = 512;  // of all files together before they are packed; of one of them an eighth
  std::chrono::milliseconds timeout{600'000};
  bool dry_run = false;  // say what would be gathered, and from where
};
int bug_report(const BugReportOptions& options);

}  // namespace culvert::cli
