#pragma once
// Flags that several commands have in common, so that they are the same everywhere.

#include <CLI/App.hpp>
#include <string>
#include <utility>
#include <vector>

#include "cli/ask/cluster.h"
#include "cli/ask/plane.h"

namespace culvert::cli {

// --kubeconfig, --context, -i/--istioNamespace.
void add_cluster_flags(CLI::App& command, ClusterFlags& options);

// --url, --world, --token-file, and the flags of the cluster, whose replicas are asked where none of these is given.
void add_plane_flags(CLI::App& command, PlaneOptions& options);

// -o/--output: one of the words, which is what `into` becomes; the first is the default.
template <class T>
CLI::Option* add_output_flag(CLI::App& command, T& into, std::vector<std::pair<std::string, T>> words) {
  std::vector<std::string> names;
  for (const auto& [name, value] : words) names.push_back(name);
  into = words.front().second;
  const std::string fallback = words.front().first;
  return command
      .add_option_function<std::string>(
          "-o,--output",
          [&into, words = std::move(words)](const std::string& said) {
            for (const auto& [name, value] : words)
              if (name == said) into = value;
          },
          "the form of the output")
      ->check(CLI::IsMember(names))
      ->default_str(fallback);
}

}  // namespace culvert::cli
