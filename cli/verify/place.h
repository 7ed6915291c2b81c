#pragma once
// Which nodes a workload leaves out by itself. Pure. Internal to verify.

#include <boost/json.hpp>

namespace culvert::cli::verify {

// Whether a Deployment's or a DaemonSet's node selector and required node affinity let its pods run on this node.
bool chooses(const boost::json::value& workload, const boost::json::value& node);

// A node behind which there is no machine of its own: a virtual kubelet's, or Fargate's. No DaemonSet can run there.
bool is_virtual(const boost::json::value& node);

}  // namespace culvert::cli::verify
