#pragma once
// A mesh as JSON, in the names that istioctl ztunnel-config and Kiali read (protocols.md §6.6), and back: what ztunnel and culvertd show is what
// `culvert explain` reads. Pure.

#include <boost/json/object.hpp>
#include <memory>
#include <string_view>

#include "common/base/result.h"
#include "common/model/mesh.h"

namespace culvert::dump {

// workloads, services, policies, stagedServices.
boost::json::object write(const model::Mesh& mesh);

// From a dump of ours or of Istio's ztunnel. Keys that are not the mesh's are passed over; one of the mesh's that cannot be read is an error that
// names it: an answer that left out a policy would be a wrong one. What of a service is lost on the way decides nothing (application protocols,
// which of two services came first).
Result<std::shared_ptr<const model::Mesh>> read(std::string_view json);

}  // namespace culvert::dump
