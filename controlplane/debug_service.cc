#include "controlplane/debug_service.h"

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <utility>

#include "common/base/version.h"
#include "proto/client_status.pb.h"
#include "proto/discovery_state.pb.h"

namespace culvert::controlplane {
namespace {

namespace discovery = envoy::service::discovery::v3;
namespace status = envoy::service::status::v3;
using Channel = XdsService::Client::Channel;

constexpr int kInvalidArgument = 3;
constexpr int kResourceExhausted = 8;
constexpr std::string_view kPageType = "istio.io/debug", kSynczType = "istio.io/debug/syncz";

google::protobuf::Timestamp timestamp(std::chrono::system_clock::time_point at) {
  const auto since = at.time_since_epoch();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since);
  google::protobuf::Timestamp out;
  out.set_seconds(seconds.count());
  out.set_nanos(static_cast<int>(std::chrono::nanoseconds(since - seconds).count()));
  return out;
}

status::ConfigStatus status_of(const Channel& channel) {
  if (!channel.progress.refusals.all().empty()) return status::ERROR;
  if (channel.nonce_sent.empty()) return status::NOT_SENT;
  return channel.nonce_acked == channel.nonce_sent ? status::SYNCED : status::STALE;
}

status::ClientConfig config_of(const XdsService::Client& client) {
  status::ClientConfig out;
  out.mutable_node()->set_id(client.self.id);
  auto& metadata = *out.mutable_node()->mutable_metadata()->mutable_fields();
  // Which istioctl shows as the version of a proxy: Istio's, or else ours.
  for (const auto& [name, as] : {std::pair("CLUSTER_ID", "CLUSTER_ID"), std::pair("NAMESPACE", "NAMESPACE"),
                                 std::pair("CULVERT_VERSION", "ISTIO_VERSION"), std::pair("ISTIO_VERSION", "ISTIO_VERSION")}) {
    if (const auto said = client.self.metadata.find(name); said != client.self.metadata.end())
      metadata[as].set_string_value(said->second);
  }
  for (const Channel& channel : client.channels) {
    auto& one = *out.add_generic_xds_configs();
    one.set_type_url(std::string(type_url(channel.type)));
    one.set_config_status(status_of(channel));
    if (!channel.nonce_sent.empty()) *one.mutable_last_updated() = timestamp(channel.sent_at);
    for (const auto& [name, refusal] : channel.progress.refusals.all()) {
      auto& error = *one.mutable_error_state();
      *error.mutable_last_update_attempt() = timestamp(channel.sent_at);
      error.set_details(error.details() + (error.details().empty() ? "" : "; ") + name + ": " + refusal.error);
    }
  }
  return out;
}

std::string identifier(const std::string& name) {
  return boost::json::serialize(
      boost::json::object{{"Component", "istiod"}, {"ID", name}, {"Info", boost::json::object{{"version", kVersion}}}});
}

std::string page_response(const std::string& body, const std::string& name) {
  discovery::DiscoveryResponse out;
  out.set_version_info("1");
  out.set_nonce("1");
  out.set_type_url(std::string(kPageType));
  out.mutable_control_plane()->set_identifier(identifier(name));
  auto& any = *out.add_resources();
  any.set_type_url(std::string(kPageType));
  any.set_value(body);
  return out.SerializeAsString();
}

}  // namespace

std::string syncz_response(const std::vector<XdsService::Client>& clients, const std::string& control_plane) {
  discovery::DiscoveryResponse out;
  out.set_version_info("1");
  out.set_nonce("1");
  out.set_type_url(std::string(kSynczType));
  out.mutable_control_plane()->set_identifier(identifier(control_plane));
  for (const XdsService::Client& client : clients) {
    auto& any = *out.add_resources();
    any.set_type_url("type.googleapis.com/envoy.service.status.v3.ClientConfig");
    any.set_value(config_of(client).SerializeAsString());
  }
  return out.SerializeAsString();
}

DebugService::DebugService(net::Loop& loop, const XdsService& xds, const std::vector<DebugPage>& pages, std::string name)
    : loop_(loop), xds_(xds), pages_(pages), name_(std::move(name)) {}

void DebugService::serve(const rpc::CallRef& call) {
  const auto asked = std::make_shared<std::size_t>(0);
  call->accept({.on_message =
                    [this, asked, weak = std::weak_ptr<rpc::ServerCall>(call)](const std::string& message) {
                      const auto live = weak.lock();
                      if (!live) return;
                      if (++*asked > kMostRequests)
                        return live->finish({.code = kResourceExhausted, .text = "too many requests on one stream"});
                      received(live, message);
                    },
                .on_sent = {},
                .on_end = {}});
}

void DebugService::received(const std::shared_ptr<rpc::ServerCall>& call, const std::string& message) {
  discovery::DiscoveryRequest request;
  if (!request.ParseFromArray(message.data(), static_cast<int>(message.size())))
    return call->finish({.code = kInvalidArgument, .text = "the request cannot be read"});
  if (!request.response_nonce().empty()) return;  // an acknowledgement
  if (request.type_url() == kSynczType) return call->send(syncz_response(xds_.clients(), name_));
  if (request.type_url() != kPageType) return;  // as istiod: not answered
  if (request.resource_names_size() != 1)
    return call->finish({.code = kInvalidArgument, .text = "exactly one page can be asked for"});
  answer_page(call, request.resource_names(0));
}

// "syncz", "config_dump?proxyID=..."
void DebugService::answer_page(std::weak_ptr<rpc::ServerCall> call, const std::string& name) {
  http::Request request{.target = "/debug/" + name};
  const auto page = std::ranges::find(pages_, std::string(request.path().substr(7)), &DebugPage::name);
  if (page == pages_.end()) {
    if (const auto live = call.lock()) live->finish({.code = kInvalidArgument, .text = "there is no such page"});
    return;
  }
  loop_.spawn([](const DebugPage* asked, http::Request its, std::weak_ptr<rpc::ServerCall> to, std::string from) -> net::Task<> {
    const http::Response response = co_await asked->answer(std::move(its));
    if (const auto live = to.lock()) live->send(page_response(response.body, from));
  }(&*page, std::move(request), std::move(call), name_));
}

}  // namespace culvert::controlplane
