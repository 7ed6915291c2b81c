#pragma once
// `culvert verify-install`: whether what is installed works: what runs, who is connected, and one handshake. Changes nothing.

#include <chrono>

#include "cli/ask/cluster.h"

namespace culvert::cli::verify {

struct Options {
  ClusterFlags cluster = {};
  bool handshake = true;
  std::chrono::milliseconds patience{10'000};  // of each question
  bool json = false;
};

// 0 when there is no error, 1 when there is one, or when it could not be looked.
int verify_install(const Options& options);

}  // namespace culvert::cli::verify
