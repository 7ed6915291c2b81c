#include "controlplane/ca/trust_domain.h"

#include <boost/json.hpp>
#include <utility>

#include "common/config/parse.h"
#include "common/derive/mesh_config.h"

namespace culvert::controlplane {

TrustDomainWanted trust_domain_wanted(const derive::Objects& objects, const derive::Settings& settings) {
  const derive::MeshConfigured read = derive::with_mesh_config(settings, objects);
  const bool sure = read.problems.empty() && !read.says_trust_domain;
  return {read.settings.trust_domain, sure ? Of::kThis : Of::kAny};
}

// By a list, as it is watched later: that needs no other right.
net::Task<Result<TrustDomainWanted>> ask_trust_domain(kube::Client& client, derive::Settings settings) {
  const config::Key key = derive::mesh_config_key(settings);
  const auto request =
      kube::list({.of = {.plural = "configmaps"}, .ns = key.name_space}, {{"fieldSelector", "metadata.name=" + key.name}});
  const auto answer = co_await client.call(request);
  if (!answer) co_return std::unexpected(answer.error());
  boost::system::error_code error;
  const boost::json::value list = boost::json::parse(answer->body, error);
  const auto* items = error ? nullptr : list.find_pointer("/items", error);
  if (items == nullptr || !items->is_array()) co_return failure(request.text() + ": the answer is no list");
  derive::Objects objects;
  for (const boost::json::value& item : items->as_array()) {
    for (const config::Parsed& parsed : config::parse_json("kubernetes", boost::json::serialize(item), "v1", "ConfigMap").objects)
      objects.put(config::key_of(*parsed.object), parsed.object);
  }
  co_return trust_domain_wanted(objects, settings);
}

}  // namespace culvert::controlplane
