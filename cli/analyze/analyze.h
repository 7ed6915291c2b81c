#pragma once
// `culvert validate` and `culvert analyze`: what the webhook would say of files, without a cluster.

#include <string>
#include <vector>

#include "common/analyze/analyze.h"

namespace culvert::cli::analyze {

struct Options {
  std::vector<std::string> paths;  // files, folders of *.yaml, *.yml and *.json with all below them, "-" for standard input
  std::string root_namespace = "istio-system";
  bool json = false;
  culvert::analyze::Level threshold = culvert::analyze::Level::kError;
};

// Refused or not, as the webhook would: 0, 1 when anything is.
int validate(const Options& options);
// Everything, each object among all of them: 0, 79 when something is found at the threshold or above, 1 when something cannot be read at all.
int analyze(const Options& options);

// The findings as they are printed, a line each; as JSON one array.
std::string to_text(const std::vector<culvert::analyze::Finding>& findings);
std::string to_json(const std::vector<culvert::analyze::Finding>& findings);

}  // namespace culvert::cli::analyze
