#pragma once
// What culvertd writes into a cluster by itself, which no chart knows of and no uninstaller may forget. Pure.

#include <string>
#include <vector>

#include "common/kube/request.h"

namespace culvert::kube {

// What data planes trust, of that version of certificates.k8s.io.
Place root_bundle(std::string version);
// Those versions, the newest first.
std::vector<std::string> root_bundle_versions();

// The same in each namespace that belongs to the mesh.
Place root_config_map(std::string ns);

// All else, by name, of a culvertd in the namespace `ns`; root_bundle in every version. Some of these names are Istio's: an object is culvertd's only
// when is_managed_by says so.
std::vector<Place> traces(const std::string& ns);

}  // namespace culvert::kube
