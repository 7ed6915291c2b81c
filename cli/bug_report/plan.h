#pragma once
// What a report holds: one file each, how it is come by, and what it is called in the archive. Pure.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/ask/cluster.h"
#include "common/kube/request.h"

namespace culvert::cli {

struct Piece {
  enum class What : std::uint8_t {
    kObjects,  // a list of the API server's
    kText,     // an answer of the API server's as it is
    kPage,     // of a pod's own port, by port-forward
  };
  std::string file;
  What what = What::kText;
  kube::Request request = {};              // kObjects, kText
  std::vector<std::string> versions = {};  // kObjects: of the kind, the first that the server knows counts
  Pod pod = {};                            // kPage
  std::uint16_t port = 0;
  std::string path = {};
  bool optional =
      false;  // that it is not there is nothing to speak of: a kind that is not installed, the log of a container before this one

  // "list pods", "http://pod istio-system/ztunnel-x:15000/config_dump": for --dry-run.
  std::string text() const;
};

struct LogLimits {
  std::size_t lines = 20'000;  // the last ones, of each container
  std::size_t bytes = std::size_t{16} << 20;
};

// The objects that the mesh reads, and what it is installed as: never Secrets.
std::vector<Piece> cluster_pieces(const std::string& system_namespace);
// What a pod of the mesh says of itself, by its label "app": culvertd, ztunnel, culvert-node; its logs.
std::vector<Piece> pod_pieces(const Pod& pod, const LogLimits& limits);

}  // namespace culvert::cli
