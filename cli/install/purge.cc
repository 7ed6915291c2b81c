#include "cli/install/purge.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <utility>

#include "common/base/format.h"
#include "common/kube/object.h"
#include "common/kube/traces.h"

namespace culvert::cli::install {
namespace {

namespace json = boost::json;

constexpr std::string_view kRedirection = "ambient.istio.io/redirection";
constexpr std::string_view kOurs = "app.kubernetes.io/part-of=culvert";
constexpr std::string_view kManager = "culvert";  // beginning of the field managers of our programs
constexpr std::string_view kGatewayApi = "gateway.networking.k8s.io";

const kube::Collection kPods{.plural = "pods"};
const kube::Collection kCrds{.group = "apiextensions.k8s.io", .plural = "customresourcedefinitions"};
const kube::Collection kGatewayClasses{.group = "gateway.networking.k8s.io", .plural = "gatewayclasses"};

bool is_ours(const json::value& object) { return kube::is_managed_by(json::serialize(object), kManager); }

// Who else needs the kinds of Istio and of the Gateway API; empty: nobody.
struct Others {
  std::string istio = {};
  std::string gateways = {};
};

net::Task<Result<Others>> find_others(kube::Client& client) {
  const auto istiods = co_await find_all(client, {.of = kDeployments}, {{"labelSelector", "app=istiod"}}, true);
  if (!istiods) co_return std::unexpected(istiods.error());
  const auto classes = co_await find_all(client, {.of = kGatewayClasses});
  if (!classes) co_return std::unexpected(classes.error());
  Others others;
  if (!istiods->empty()) others.istio = "Deployment " + name_of(istiods->front());
  for (const json::value& each : *classes) {
    const std::string controller = text_at(each, "/spec/controllerName");
    if (!controller.starts_with("culvert.dev/"))
      others.gateways = culvert::format("GatewayClass {} of {}", name_of(each), controller);
  }
  co_return others;
}

net::Task<Result<std::size_t>> count(kube::Client& client, const json::value& crd) {
  const auto& versions = list_at(crd, "/spec/versions");
  const auto served = std::ranges::find_if(versions, [](const json::value& each) { return flag_at(each, "/served"); });
  if (served == versions.end()) co_return std::size_t{0};
  const auto all = co_await find_all(client,
                                     {.of = {.group = text_at(crd, "/spec/group"),
                                             .version = text_at(*served, "/name"),
                                             .plural = text_at(crd, "/spec/names/plural")}},
                                     {}, true);
  co_return all.transform([](const json::array& found) { return found.size(); });
}

net::Task<Status> add_crds(kube::Client& client, Leftovers& out) {
  const auto others = co_await find_others(client);
  if (!others) co_return std::unexpected(others.error());
  const auto crds = co_await find_all(client, {.of = kCrds}, {{"labelSelector", std::string(kOurs)}});
  if (!crds) co_return std::unexpected(crds.error());
  std::size_t istio = 0, gateway = 0;
  for (const json::value& crd : *crds) {
    const bool of_gateways = text_at(crd, "/spec/group").ends_with(kGatewayApi);
    if (of_gateways && !others->gateways.empty()) ++gateway;
    else if (!of_gateways && !others->istio.empty()) ++istio;
    else {
      const auto objects = co_await count(client, crd);
      if (!objects) co_return std::unexpected(objects.error());
      out.crds.push_back({text_at(crd, "/metadata/name"), *objects});
    }
  }
  if (istio > 0) out.kept.push_back(culvert::format("{} CRDs of Istio's kinds: {} needs them", istio, others->istio));
  if (gateway > 0) out.kept.push_back(culvert::format("{} CRDs of the Gateway API: {} needs them", gateway, others->gateways));
  co_return Status();
}

// An object that we may have written: it counts when we have.
net::Task<Status> add(kube::Client& client, Leftovers& out, kube::Place place) {
  const auto found = co_await find_object(client, place);
  if (!found) co_return std::unexpected(found.error());
  if (found->is_null()) co_return Status();
  if (is_ours(*found)) out.objects.push_back(std::move(place));
  else out.kept.push_back(place.text() + ": somebody else has written it");
  co_return Status();
}

net::Task<Status> add_all(kube::Client& client, Leftovers& out, std::vector<kube::Place> places) {
  for (kube::Place& place : places) {
    if (auto done = co_await add(client, out, std::move(place)); !done) co_return done;
  }
  co_return Status();
}

net::Task<Status> add_roots(kube::Client& client, Leftovers& out) {
  const kube::Place map = kube::root_config_map({});
  const auto maps = co_await find_all(client, {.of = map.of}, {{"fieldSelector", "metadata.name=" + map.name}});
  if (!maps) co_return std::unexpected(maps.error());
  for (const json::value& each : *maps) {
    if (is_ours(each)) out.objects.push_back(kube::root_config_map(text_at(each, "/metadata/namespace")));
  }
  co_return Status();
}

// Helm leaves those that go over from one release to another.
net::Task<Status> add_services(kube::Client& client, Leftovers& out, std::string ns) {
  for (const char* name : {"culvertd", "istiod"}) {
    kube::Place place{.of = {.plural = "services"}, .ns = ns, .name = name};
    const auto found = co_await find_object(client, place);
    if (!found) co_return std::unexpected(found.error());
    if (label_of(*found, "app.kubernetes.io/part-of") == "culvert") out.objects.push_back(std::move(place));
  }
  co_return Status();
}

net::Task<Status> erase_one(kube::Client& client, kube::Place place) {
  const auto done = co_await erase(client, place);
  if (!done) co_return std::unexpected(done.error());
  if (*done) std::printf("deleted: %s\n", place.text().c_str());
  co_return Status();
}

}  // namespace

net::Task<Result<Members>> find_members(kube::Client& client) {
  const auto pods = co_await find_all(client, {.of = kPods}, {}, true);
  if (!pods) co_return std::unexpected(pods.error());
  std::map<std::string, std::size_t> counted;
  Members members;
  for (const json::value& pod : *pods) {
    if (annotation_of(pod, kRedirection).empty()) continue;
    ++counted[text_at(pod, "/metadata/namespace")];
    ++members.pods;
  }
  for (const auto& [ns, pods_of] : counted)
    members.by_namespace += culvert::format("{}{} {}", members.by_namespace.empty() ? "" : ", ", ns, pods_of);
  co_return members;
}

net::Task<Result<std::string>> find_planes(kube::Client& client) {
  const auto all = co_await find_all(client, {.of = kDeployments}, {{"labelSelector", "app=culvertd"}});
  if (!all) co_return std::unexpected(all.error());
  std::string names;
  for (const json::value& each : *all) {
    const bool of_another_cluster = std::ranges::any_of(
        list_at(each, "/spec/template/spec/containers/0/args"),
        [](const json::value& arg) { return arg.is_string() && arg.as_string().starts_with("--kubeconfig"); });
    if (of_another_cluster || at(each, "/metadata/deletionTimestamp") != nullptr) continue;
    names += (names.empty() ? "" : ", ") + name_of(each);
  }
  co_return names;
}

std::string Leftovers::text() const {
  std::string out;
  std::size_t lost = 0;
  for (const Crd& crd : crds) lost += crd.objects;
  if (!crds.empty()) out += culvert::format("  {} CRDs, and with them {} objects:\n", crds.size(), lost);
  for (const Crd& crd : crds) {
    if (crd.objects > 0) out += culvert::format("    {}: {}\n", crd.name, crd.objects);
  }
  for (const kube::Place& place : objects) out += "  " + place.text() + "\n";
  for (const std::string& each : kept) out += "  stays: " + each + "\n";
  return out;
}

net::Task<Result<Leftovers>> find_leftovers(kube::Client& client, std::string ns) {
  Leftovers out;
  if (auto done = co_await add_crds(client, out); !done) co_return std::unexpected(std::move(done).error());
  if (auto done = co_await add_all(client, out, kube::traces(ns)); !done) co_return std::unexpected(std::move(done).error());
  if (auto done = co_await add_services(client, out, ns); !done) co_return std::unexpected(std::move(done).error());
  if (auto done = co_await add_roots(client, out); !done) co_return std::unexpected(std::move(done).error());
  co_return out;
}

net::Task<Status> purge(kube::Client& client, Leftovers leftovers) {
  Status all;
  for (Leftovers::Crd& crd : leftovers.crds) leftovers.objects.push_back({.of = kCrds, .name = crd.name});
  for (kube::Place& place : leftovers.objects) {
    if (auto done = co_await erase_one(client, std::move(place)); !done && all) all = std::move(done);
  }
  co_return all;
}

}  // namespace culvert::cli::install
