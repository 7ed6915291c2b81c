#pragma once
// Two manifests (YAML, many objects), compared object by object and field by field. Pure.

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace culvert::cli::install {

// "DaemonSet istio-system/ztunnel" -> where each value is ("spec.template.spec.containers[ztunnel].image") -> the value. Items of lists are called by
// their `name`, where all have one that is theirs alone, and else by their place.
using Fields = std::map<std::string, std::string>;
using Manifest = std::map<std::string, Fields>;

// Fails when it is no YAML of Kubernetes objects.
Result<Manifest> read_manifest(std::string_view yaml);

// Empty when they are the same. What a Secret holds is not shown:
//   changed: DaemonSet istio-system/ztunnel
//     - spec.template.spec.containers[ztunnel].image: culvert.dev/ztunnel:0.1.0
//     + spec.template.spec.containers[ztunnel].image: culvert.dev/ztunnel:0.2.0
//   new: PodDisruptionBudget istio-system/culvertd
//   gone: ConfigMap istio-system/culvert-rules
std::string difference(const Manifest& has, const Manifest& wanted);

}  // namespace culvert::cli::install
