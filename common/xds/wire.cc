#include "common/xds/wire.h"

#include <google/protobuf/util/json_util.h>

#include "common/xds/serialise.h"
#include "proto/discovery.pb.h"

namespace culvert::xds {
namespace {

namespace discovery = envoy::service::discovery::v3;

constexpr std::uint32_t kLengthDelimited = 2;
constexpr std::uint32_t tag(std::uint32_t field) { return field << 3 | kLengthDelimited; }

void append_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

void append_field(std::string& out, std::uint32_t field, std::string_view value) {
  append_varint(out, tag(field));
  append_varint(out, value.size());
  out += value;
}

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

}  // namespace

std::string encode(const Request& request) {
  discovery::DeltaDiscoveryRequest out;
  if (!request.node.id.empty()) fill(*out.mutable_node(), request.node);
  out.set_type_url(request.type_url);
  for (const std::string& name : request.subscribe) out.add_resource_names_subscribe(name);
  for (const std::string& name : request.unsubscribe) out.add_resource_names_unsubscribe(name);
  for (const auto& [name, version] : request.initial_versions) (*out.mutable_initial_resource_versions())[name] = version;
  out.set_response_nonce(request.nonce);
  if (!request.error.empty()) out.mutable_error_detail()->set_message(request.error);
  return serialise(out);
}

Result<Request> decode_request(std::string_view bytes) {
  discovery::DeltaDiscoveryRequest in;
  if (!in.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return failure("not a DeltaDiscoveryRequest");
  Request out;
  if (in.has_node()) out.node = read(in.node());
  out.type_url = in.type_url();
  out.subscribe.assign(in.resource_names_subscribe().begin(), in.resource_names_subscribe().end());
  out.unsubscribe.assign(in.resource_names_unsubscribe().begin(), in.resource_names_unsubscribe().end());
  out.initial_versions.insert(in.initial_resource_versions().begin(), in.initial_resource_versions().end());
  out.nonce = in.response_nonce();
  if (in.has_error_detail())
    out.error = in.error_detail().message().empty() ? "refused without a reason" : in.error_detail().message();
  return out;
}

std::string encode_resource(const Resource& resource) {
  std::string any;
  append_field(any, 1, resource.type_url);
  append_field(any, 2, resource.value);
  std::string out;
  if (!resource.version.empty()) append_field(out, discovery::Resource::kVersionFieldNumber, resource.version);
  append_field(out, discovery::Resource::kResourceFieldNumber, any);
  append_field(out, discovery::Resource::kNameFieldNumber, resource.name);
  return out;
}

std::string encode_response(std::string_view type_url, std::string_view nonce,
                            std::span<const std::shared_ptr<const std::string>> encoded_resources,
                            std::span<const std::string> removed) {
  std::size_t size = type_url.size() + nonce.size() + 16;
  for (const auto& resource : encoded_resources) size += resource->size() + 6;
  for (const std::string& name : removed) size += name.size() + 6;
  std::string out;
  out.reserve(size);
  for (const auto& resource : encoded_resources)
    append_field(out, discovery::DeltaDiscoveryResponse::kResourcesFieldNumber, *resource);
  append_field(out, discovery::DeltaDiscoveryResponse::kTypeUrlFieldNumber, type_url);
  append_field(out, discovery::DeltaDiscoveryResponse::kNonceFieldNumber, nonce);
  for (const std::string& name : removed)
    append_field(out, discovery::DeltaDiscoveryResponse::kRemovedResourcesFieldNumber, name);
  return out;
}

std::string encode(const Response& response) {
  std::vector<std::shared_ptr<const std::string>> encoded;
  for (const Resource& resource : response.resources)
    encoded.push_back(std::make_shared<const std::string>(encode_resource(resource)));
  return encode_response(response.type_url, response.nonce, encoded, response.removed);
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
    out.resources.push_back({std::move(*resource.mutable_name()), std::move(*resource.mutable_version()),
                             std::move(*resource.mutable_resource()->mutable_type_url()),
                             std::move(*resource.mutable_resource()->mutable_value())});
  }
  return out;
}

}  // namespace culvert::xds
