#include "common/xds/wire.h"

#include <google/protobuf/util/json_util.h>

#include "common/base/format.h"
#include "common/xds/fields.h"
#include "common/xds/serialise.h"
#include "proto/discovery.pb.h"

namespace culvert::xds {
namespace {

namespace discovery = envoy::service::discovery::v3;

google::protobuf::Value json_value(const std::string& text) {
  google::protobuf::Value value;
  if (!google::protobuf::util::JsonStringToMessage(text, &value).ok()) value.set_string_value(text);
  return value;
}

void fill(envoy::config::core::v3::Node& out, const Node& node) {
  out.set_id(node.id);
  auto& fields = *out.mutable_metadata()->mutable_fields();
  for (const auto& [name, text] : node.metadata) fields[name].set_string_value(text);
  for (const auto& [name, text] : node.json_metadata) fields[name] = json_value(text);
}

Node read(const envoy::config::core::v3::Node& node) {
  Node out;
  out.id = node.id();
  for (const auto& [name, value] : node.metadata().fields()) {
    if (value.kind_case() == google::protobuf::Value::kStringValue) {
      out.metadata[name] = value.string_value();
    } else {
      std::string text;
      if (google::protobuf::util::MessageToJsonString(value, &text).ok()) out.json_metadata[name] = std::move(text);
    }
  }
  return out;
}

Resource taken(discovery::Resource& in) {
  return {std::move(*in.mutable_name()),
          std::move(*in.mutable_version()),
          std::move(*in.mutable_resource()->mutable_type_url()),
          std::move(*in.mutable_resource()->mutable_value()),
          {in.aliases().begin(), in.aliases().end()}};
}

}  // namespace

std::string encode(const Request& request) {
  discovery::DeltaDiscoveryRequest out;
  if (!request.node.id.empty()) fill(*out.mutable_node(), request.node);
  out.set_type_url(request.type_url);
  for (const std::string& name : request.subscribe) out.add_resource_names_subscribe(name);
  for (const std::string& name : request.unsubscribe) out.add_resource_names_unsubscribe(name);
  out.set_response_nonce(request.nonce);
  if (!request.error.empty()) out.mutable_error_detail()->set_message(request.error);
  if (request.knows_sums) out.set_culvert_sum_scheme(std::string(kSumScheme));
  out.set_culvert_sums(request.sums);
  std::string bytes = serialise(out);
  request.initial_versions.append_to(bytes, discovery::DeltaDiscoveryRequest::kInitialResourceVersionsFieldNumber);
  return bytes;
}

Result<Request> decode_request(std::string bytes) {
  std::string rest;
  auto versions = Versions::take(std::move(bytes), discovery::DeltaDiscoveryRequest::kInitialResourceVersionsFieldNumber, rest);
  discovery::DeltaDiscoveryRequest in;
  if (!versions) return failure("not a DeltaDiscoveryRequest");
  if (rest.size() > kMostAsked) return failure(culvert::format("{} bytes beside the versions that are held", rest.size()));
  if (!in.ParseFromString(rest)) return failure("not a DeltaDiscoveryRequest");
  if (in.node().ByteSizeLong() > kMostNode) return failure(culvert::format("{} bytes of node", in.node().ByteSizeLong()));
  Request out;
  out.initial_versions = std::move(*versions);
  if (in.has_node()) out.node = read(in.node());
  out.type_url = in.type_url();
  out.subscribe.assign(in.resource_names_subscribe().begin(), in.resource_names_subscribe().end());
  out.unsubscribe.assign(in.resource_names_unsubscribe().begin(), in.resource_names_unsubscribe().end());
  out.nonce = in.response_nonce();
  if (in.has_error_detail())
    out.error = in.error_detail().message().empty() ? "refused without a reason" : in.error_detail().message();
  out.knows_sums = in.culvert_sum_scheme() == kSumScheme;  // of another scheme we know nothing
  if (out.knows_sums) out.sums = std::move(*in.mutable_culvert_sums());
  if (!out.sums.empty() && out.sums.size() != kParts * kSumSize)
    return failure(culvert::format("{} bytes of sums", out.sums.size()));
  return out;
}

// Of exactly the size that is needed: there may be hundreds of thousands.
std::string encode_resource(const Resource& resource) {
  std::string any;
  any.reserve(resource.type_url.size() + resource.value.size() + 2 * kMostOverhead);
  append_field(any, 1, resource.type_url);
  append_field(any, 2, resource.value);
  std::string out;
  out.reserve(any.size() + resource.version.size() + resource.name.size() + 3 * kMostOverhead);
  if (!resource.version.empty()) append_field(out, discovery::Resource::kVersionFieldNumber, resource.version);
  append_field(out, discovery::Resource::kResourceFieldNumber, any);
  for (const std::string& alias : resource.aliases) append_field(out, discovery::Resource::kAliasesFieldNumber, alias);
  append_field(out, discovery::Resource::kNameFieldNumber, resource.name);
  out.shrink_to_fit();
  return out;
}

std::string with_aliases(std::string_view encoded_resource, std::span<const std::string> aliases) {
  std::string out(encoded_resource);
  for (const std::string& alias : aliases) append_field(out, discovery::Resource::kAliasesFieldNumber, alias);
  return out;
}

Result<Resource> decode_resource(std::string_view encoded) {
  discovery::Resource in;
  if (!in.ParseFromArray(encoded.data(), static_cast<int>(encoded.size()))) return failure("not a Resource");
  return taken(in);
}

std::size_t size_in_response(std::string_view encoded_resource) { return encoded_resource.size() + kMostOverhead; }

void append_to_response(std::string& response, std::string_view encoded_resource) {
  append_field(response, discovery::DeltaDiscoveryResponse::kResourcesFieldNumber, encoded_resource);
}

std::string encode_response(std::string_view type_url, std::string_view nonce,
                            std::span<const std::shared_ptr<const std::string>> encoded_resources,
                            std::span<const std::string> removed) {
  std::size_t size = type_url.size() + nonce.size() + 16;
  for (const auto& resource : encoded_resources) size += size_in_response(*resource);
  for (const std::string& name : removed) size += name.size() + kMostOverhead;
  std::string out;
  out.reserve(size);
  for (const auto& resource : encoded_resources) append_to_response(out, *resource);
  append_field(out, discovery::DeltaDiscoveryResponse::kTypeUrlFieldNumber, type_url);
  append_field(out, discovery::DeltaDiscoveryResponse::kNonceFieldNumber, nonce);
  for (const std::string& name : removed)
    append_field(out, discovery::DeltaDiscoveryResponse::kRemovedResourcesFieldNumber, name);
  return out;
}

void append_sums_to_response(std::string& response, const Parts& asked) {
  append_field(response, discovery::DeltaDiscoveryResponse::kCulvertSumSchemeFieldNumber, kSumScheme);
  if (asked.any()) append_field(response, discovery::DeltaDiscoveryResponse::kCulvertPartsAskedFieldNumber, bytes_of(asked));
}

std::string encode(const Response& response) {
  std::vector<std::shared_ptr<const std::string>> encoded;
  for (const Resource& resource : response.resources)
    encoded.push_back(std::make_shared<const std::string>(encode_resource(resource)));
  std::string out = encode_response(response.type_url, response.nonce, encoded, response.removed);
  if (response.knows_sums) append_sums_to_response(out, response.asked);
  return out;
}

Result<Response> decode_response(std::string_view bytes) {
  discovery::DeltaDiscoveryResponse in;
  if (!in.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return failure("not a DeltaDiscoveryResponse");
  Response out;
  out.type_url = in.type_url();
  out.nonce = in.nonce();
  out.removed.assign(in.removed_resources().begin(), in.removed_resources().end());
  out.resources.reserve(static_cast<std::size_t>(in.resources_size()));
  for (auto& resource : *in.mutable_resources()) {
    out.resources.push_back(taken(resource));
  }
  out.knows_sums = in.culvert_sum_scheme() == kSumScheme;
  if (!out.knows_sums || in.culvert_parts_asked().empty()) return out;
  auto asked = parts_of(in.culvert_parts_asked());
  if (!asked) return std::unexpected(asked.error());
  out.asked = *asked;
  return out;
}

}  // namespace culvert::xds
