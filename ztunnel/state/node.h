#pragma once
// How we present ourselves to the control plane (protocols.md §2.1).

#include <map>
#include <string>
#include <string_view>

#include "common/rpc/client.h"
#include "common/xds/wire.h"
#include "ztunnel/settings.h"

namespace culvert::ztunnel {

// `environment` is the process's: ISTIO_META_X becomes X, as text.
xds::Node node_of(const Settings& settings, const std::map<std::string, std::string>& environment);

// Further headers of our calls: PREFIX_X becomes header x ("XDS_HEADER_", "CA_HEADER_"). Fails on what no header can be.
Result<rpc::Metadata> extra_headers(std::string_view prefix, const std::map<std::string, std::string>& environment);

// The whole environment of this process.
std::map<std::string, std::string> environment();

}  // namespace culvert::ztunnel
