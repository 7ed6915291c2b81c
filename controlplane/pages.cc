#include "controlplane/pages.h"

#include <boost/json.hpp>
#include <string>

#include "common/base/version.h"
#include "common/config/kinds.h"

namespace culvert::controlplane {
namespace {

std::string text(const boost::json::value& value) { return boost::json::serialize(value) + "\n"; }

std::string syncz(const XdsService& xds, Epoch epoch) {
  boost::json::array out;
  for (const XdsService::Row& row : xds.rows()) {
    boost::json::object one{{"proxy", row.id},
                            {"node", row.node},
                            {"peer", row.peer},
                            {"type", short_name(row.type)},
                            {"epoch", epoch},
                            {"epoch_sent", row.progress.sent},
                            {"epoch_acked", row.progress.acknowledged},
                            {"waiting", row.progress.waiting},
                            {"current", row.current}};
    if (!row.progress.refused.empty()) one["refused"] = row.progress.refused;
    out.push_back(std::move(one));
  }
  return text(out);
}

std::string configz(const Mesh& mesh) {
  boost::json::array broken, warnings, objects;
  for (const auto& [key, place] : mesh.store().broken()) broken.push_back({{"object", key.text()}, {"place", place}});
  for (const derive::Warning& warning : mesh.deriver().warnings()) {
    warnings.push_back(
        {{"object", warning.object.text()}, {"place", mesh.store().place_of(warning.object)}, {"text", warning.text}});
  }
  std::vector kinds = {config::Kind::kNamespace, config::Kind::kNode,    config::Kind::kServiceAccount,
                       config::Kind::kPod,       config::Kind::kService, config::Kind::kEndpointSlice};
  for (const config::CustomKind& kind : config::custom_kinds()) kinds.push_back(kind.kind);
  for (const auto kind : kinds) {
    for (const std::string& name_space : mesh.store().objects().namespaces(kind)) {
      for (const auto& [name, object] : mesh.store().objects().in(kind, name_space)) {
        const config::Key key{kind, name_space, name};
        boost::json::object one{{"object", key.text()}, {"place", mesh.store().place_of(key)}};
        if (!derive::derives_from(kind)) one["enforced"] = false;  // valid, and for a later version
        objects.push_back(std::move(one));
      }
    }
  }
  return text({{"epoch", mesh.snapshot().epoch()}, {"broken", broken}, {"warnings", warnings}, {"objects", objects}});
}

std::string resources(const Mesh& mesh) {
  boost::json::array out;
  for (const Type type : {Type::kAddress, Type::kAuthorization}) {
    for (const auto& [name, resource] : mesh.snapshot().table(type).resources()) {
      out.push_back({{"type", short_name(type)}, {"name", name}, {"version", resource.version}, {"epoch", resource.epoch}});
    }
  }
  return text(out);
}

std::string settings_json(const settings::Table& table) {
  boost::json::array rows;
  for (const auto& row : table.shown()) {
    rows.push_back({{"name", row.name},
                    {"value", row.value},
                    {"default", row.fallback},
                    {"unit", row.unit},
                    {"source", name(row.source)},
                    {"doc", row.doc}});
  }
  return text(rows);
}

}  // namespace

void Pages::add_to(admin::Server& server) const {
  using admin::Port;
  admin::add_metrics(server, registry);
  admin::add_logging(server);
  const auto on = [&server](std::string path, std::string what, admin::Server::Handler handler) {
    server.on(Port::kAdmin, "GET", std::move(path), std::move(what), std::move(handler));
  };
  const Pages self = *this;
  // Also beside the metrics: the kubelet does not come by way of localhost.
  server.on(Port::kMetrics, "GET", "/ready", "200 once the configuration is read and served", [self](const http::Request&) {
    const Status ready = self.ready();
    return ready ? http::text_response(200, "ready\n") : http::text_response(503, ready.error().text + "\n");
  });
  on("/version", "what runs", [](const http::Request&) { return http::text_response(200, version_text() + "\n"); });
  on("/debug/syncz", "who is connected, and which epoch each has been sent and has acknowledged",
     [self](const http::Request&) { return http::json_response(syncz(self.xds, self.mesh.snapshot().epoch())); });
  on("/debug/configz", "the objects in force, what is broken, what is probably not meant",
     [self](const http::Request&) { return http::json_response(configz(self.mesh)); });
  on("/debug/resources", "the resources served, with version and epoch",
     [self](const http::Request&) { return http::json_response(resources(self.mesh)); });
  on("/debug/settings", "the settings in force",
     [self](const http::Request&) { return http::json_response(settings_json(self.settings)); });
}

}  // namespace culvert::controlplane
