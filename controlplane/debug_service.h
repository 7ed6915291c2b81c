#pragma once
// The debug pages over discovery, as istioctl asks for them: AggregatedDiscoveryService/StreamAggregatedResources with the types istio.io/debug/syncz
// (one ClientConfig a proxy, for istioctl proxy-status) and istio.io/debug (a page by its name). For the mesh's own accounts. On the control thread.

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/net/loop.h"
#include "common/rpc/server.h"
#include "controlplane/debug.h"
#include "controlplane/xds/service.h"

namespace culvert::controlplane {

inline constexpr std::string_view kDebugPath = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources";

class DebugService {
 public:
  static constexpr std::size_t kMostRequests = 100;  // of one stream

  // What is referred to must outlive this and the loop's tasks. `name` is ours among the replicas.
  DebugService(net::Loop& loop, const XdsService& xds, const std::vector<DebugPage>& pages, std::string name);

  // A call of one who may see the debug pages.
  void serve(const rpc::CallRef& call);

 private:
  void received(const std::shared_ptr<rpc::ServerCall>& call, const std::string& message);
  void answer_page(std::weak_ptr<rpc::ServerCall> call, const std::string& name);

  net::Loop& loop_;
  const XdsService& xds_;
  const std::vector<DebugPage>& pages_;
  const std::string name_;
};

// istio.io/debug/syncz: a DiscoveryResponse. Pure.
std::string syncz_response(const std::vector<XdsService::Client>& clients, const std::string& control_plane);

}  // namespace culvert::controlplane
