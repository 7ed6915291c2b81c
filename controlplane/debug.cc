#include "controlplane/debug.h"

#include <algorithm>
#include <boost/json.hpp>
#include <functional>

#include "common/admin/server.h"
#include "common/config/kinds.h"

namespace culvert::controlplane {
namespace {

namespace json = boost::json;

std::string resources(const Mesh& mesh) {
  json::array out;
  for (const Type type : {Type::kAddress, Type::kAuthorization}) {
    for (const auto& [name, resource] : mesh.snapshot().table(type).resources()) {
      out.push_back({{"type", short_name(type)}, {"name", name}, {"version", resource.version()}, {"epoch", resource.epoch}});
    }
  }
  return json::serialize(out) + "\n";
}

std::string list(const std::vector<DebugPage>& pages) {
  json::array out;
  for (const DebugPage& page : pages) out.emplace_back("/debug/" + page.name);
  return json::serialize(out) + "\n";
}

// By its id, or as istioctl says it: "ztunnel-x.istio-system", which is the third part of one.
bool is_connected(const std::vector<XdsService::Client>& clients, std::string_view proxy) {
  return std::ranges::any_of(clients, [&](const XdsService::Client& client) {
    return client.self.id == proxy || client.self.id.contains("~" + std::string(proxy) + "~");
  });
}

using Answer = std::function<http::Response(const http::Request&)>;

net::Task<http::Response> at_once(Answer answer, http::Request request) { co_return answer(request); }

DebugPage page(std::string name, std::string what, Answer answer) {
  return {std::move(name), std::move(what),
          [answer = std::move(answer)](http::Request request) { return at_once(answer, std::move(request)); }};
}

}  // namespace

std::vector<DebugPage> debug_pages(const DebugParts& parts) {
  const Mesh& mesh = parts.mesh;
  const XdsService& xds = parts.xds;
  const settings::Table& table = parts.settings;
  const auto json_page = [](std::string name, std::string what, std::function<std::string(const http::Request&)> text) {
    return page(std::move(name), std::move(what),
                [text = std::move(text)](const http::Request& request) { return http::json_response(text(request)); });
  };
  std::vector<DebugPage> out;
  out.push_back({"epochs", "which node has which epoch in force, and who lags why: ?object=KIND/NAMESPACE/NAME, ?epoch=N, &fresh",
                 parts.epochs});
  out.push_back(json_page("syncz", "who is connected, what each has been sent and has answered: ?namespace=",
                          [&mesh, &xds](const http::Request& request) {
                            return syncz(xds.clients(), mesh.snapshot().epoch(), request.query("namespace").value_or(""));
                          }));
  out.push_back(json_page("connections", "the streams of proxies",
                          [&xds](const http::Request&) { return connections(xds.clients(), false); }));
  out.push_back(json_page("adsz", "the streams of proxies, and what each asked for",
                          [&xds](const http::Request&) { return connections(xds.clients(), true); }));
  out.push_back(json_page("configz", "the objects in force, what is broken, what is probably not meant",
                          [&mesh](const http::Request&) { return configz(mesh); }));
  out.push_back(json_page("registryz", "the services", [&mesh](const http::Request&) { return registryz(mesh); }));
  for (const char* name : {"endpointz", "endpointShardz"})
    out.push_back(json_page(name, "the endpoints of services", [&mesh](const http::Request&) { return endpointz(mesh); }));
  out.push_back(page("config_dump", "the mesh as a ztunnel shows it, of all or of one that is connected: ?proxyID=",
                     [&mesh, &xds](const http::Request& request) {
                       if (const auto proxy = request.query("proxyID"); proxy && !is_connected(xds.clients(), *proxy))
                         return http::text_response(
                             404, "Proxy not connected to this Pilot instance. It may be connected to another instance.\n");
                       return http::json_response(config_dump(mesh));
                     }));
  out.push_back(json_page("resources", "the resources served, with version and epoch",
                          [&mesh](const http::Request&) { return resources(mesh); }));
  out.push_back(
      json_page("settings", "the settings in force", [&table](const http::Request&) { return admin::settings_json(table); }));
  std::string names = list(out);
  out.push_back(json_page("list", "these pages", [names = std::move(names)](const http::Request&) { return names; }));
  return out;
}

}  // namespace culvert::controlplane
