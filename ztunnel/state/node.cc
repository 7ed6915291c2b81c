#include "ztunnel/state/node.h"

#include <unistd.h>

#include <algorithm>
#include <string_view>

#include "common/base/version.h"

namespace culvert::ztunnel {

std::map<std::string, std::string> environment() {
  std::map<std::string, std::string> out;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const auto equals = text.find('=');
    if (equals != std::string_view::npos) out.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return out;
}

xds::Node node_of(const Settings& settings, const std::map<std::string, std::string>& environment) {
  const std::string address = settings.instance_ip.empty() ? "1.1.1.1" : settings.instance_ip;
  xds::Node node;
  node.id = "ztunnel~" + address + "~" + settings.pod_name + "." + settings.pod_namespace + "~" + settings.pod_namespace +
            ".svc.cluster.local";
  node.metadata = {
      {"NAME", settings.pod_name},
      {"NAMESPACE", settings.pod_namespace},
      {"INSTANCE_IPS", address},
      {"NODE_NAME", settings.node_name},
      {"CLUSTER_ID", settings.cluster_id},
      {"CULVERT_VERSION", std::string(kVersion)}};  // not as ISTIO_VERSION: istiod would take us for an ancient ztunnel
  if (!settings.network.empty()) node.metadata["NETWORK"] = settings.network;
  if (!settings.service_account.empty()) node.metadata["SERVICE_ACCOUNT"] = settings.service_account;
  constexpr std::string_view kText = "ISTIO_META_", kJson = "ISTIO_METAJSON_";
  for (const auto& [name, value] : environment) {
    if (name.starts_with(kText)) node.metadata[name.substr(kText.size())] = value;
    else if (name.starts_with(kJson)) node.json_metadata[name.substr(kJson.size())] = value;
  }
  return node;
}

namespace {

// gRPC ends the process over a name or value that is not legal.
bool is_name(std::string_view text) {
  return !text.empty() && !text.starts_with("grpc-") && !text.ends_with("-bin") && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  });
}

bool is_value(std::string_view text) {
  return std::ranges::all_of(text, [](unsigned char c) { return c >= ' ' && c < 0x7f; });
}

}  // namespace

Result<rpc::Metadata> extra_headers(std::string_view prefix, const std::map<std::string, std::string>& environment) {
  rpc::Metadata out;
  for (const auto& [name, value] : environment) {
    if (!name.starts_with(prefix) || name.size() == prefix.size()) continue;
    std::string header = name.substr(prefix.size());
    std::ranges::transform(header, header.begin(),
                           [](unsigned char c) { return static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c); });
    if (!is_name(header)) return failure(name + ": \"" + header + "\" cannot be the name of a header");
    if (!is_value(value))
      return failure(name + ": its value holds a character that no header may (is it one line of plain text?)");
    out.emplace_back(std::move(header), value);
  }
  return out;
}

}  // namespace culvert::ztunnel
