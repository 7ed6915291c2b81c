#pragma once
// The pages below /debug, as istiod has them, in the JSON that tools read there (istioctl, Kiali), with what is ours beside it. Pure but for `epochs`.
// They are shown on the debug and monitoring ports, and over discovery as type istio.io/debug.

#include <string>
#include <vector>

#include "common/admin/server.h"
#include "common/base/settings.h"
#include "controlplane/mesh.h"
#include "controlplane/xds/service.h"

namespace culvert::controlplane {

struct DebugPage {
  std::string name;  // "syncz" of /debug/syncz
  std::string what;
  admin::Server::AsyncHandler answer;
};

struct DebugParts {  // outlive the pages
  const Mesh& mesh;
  const XdsService& xds;
  const settings::Table& settings;
  admin::Server::AsyncHandler epochs;
};
std::vector<DebugPage> debug_pages(const DebugParts& parts);

// Texts of single pages.
std::string syncz(const std::vector<XdsService::Client>& clients, Epoch epoch,
                  std::string_view name_space);  // empty: of all namespaces
std::string connections(const std::vector<XdsService::Client>& clients, bool with_watches);
std::string registryz(const Mesh& mesh);
std::string endpointz(const Mesh& mesh);
std::string configz(const Mesh& mesh);
std::string config_dump(const Mesh& mesh);  // as a ztunnel's own: what a proxy that has everything in force shows

}  // namespace culvert::controlplane
