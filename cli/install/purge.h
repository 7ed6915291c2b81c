#pragma once
// What an uninstalled Culvert leaves in a cluster, and its removal. Internal to install. On one client's thread.

#include <string>
#include <vector>

#include "cli/objects/objects.h"

namespace culvert::cli::install {

// Pods that say that they are in the mesh (annotation ambient.istio.io/redirection), by namespace: "shop 3, bank 12".
struct Members {
  std::size_t pods = 0;
  std::string by_namespace = {};
};
net::Task<Result<Members>> find_members(kube::Client& client);

// Control planes of this cluster that nobody has told to go, by name; they need what culvertd has written. Empty: none.
net::Task<Result<std::string>> find_planes(kube::Client& client);

// What is to be deleted. Only what Culvert has written or installed.
struct Leftovers {
  struct Crd {
    std::string name;  // "authorizationpolicies.security.istio.io"
    std::size_t objects = 0;
  };
  std::vector<Crd> crds = {};
  std::vector<kube::Place> objects = {};
  std::vector<std::string> kept = {};  // what stays, and why: for the operator

  bool empty() const { return crds.empty() && objects.empty(); }
  // For the operator to read before he agrees.
  std::string text() const;
};
// `ns`: where Culvert is, or was, installed.
net::Task<Result<Leftovers>> find_leftovers(kube::Client& client, std::string ns);

// Deletes them, a line each on standard output. All of it is tried; fails with the first that did not work.
net::Task<Status> purge(kube::Client& client, Leftovers leftovers);

}  // namespace culvert::cli::install
