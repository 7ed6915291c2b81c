#include "ztunnel/config_dump.h"

#include <boost/json.hpp>

#include "common/base/base64.h"
#include "common/base/version.h"
#include "common/dump/dump.h"

namespace culvert::ztunnel {
namespace {

namespace json = boost::json;

template <class T, class Text>
json::array list(const std::vector<T>& values, Text text) {
  json::array out;
  for (const auto& value : values) out.emplace_back(text(value));
  return out;
}

json::value certificate(const tls::Certificate& from) {
  return {{"pem", to_base64(from.pem())},
          {"serialNumber", from.serial()},
          {"validFrom", from.valid_from()},
          {"expirationTime", from.expires_at()}};
}

json::object certificate(const Certificates::Shown& from) {
  json::object out;
  out["identity"] = from.identity.uri();
  out["state"] = from.credentials ? "Available" : from.error.empty() ? "Initializing" : "Unavailable: " + from.error;
  const auto each = [](const tls::Certificate& one) { return certificate(one); };
  out["certChain"] = from.credentials ? list(from.credentials->own.chain(), each) : json::array{};
  out["rootCerts"] = from.credentials ? list(from.credentials->roots.certificates(), each) : json::array{};
  return out;
}

json::object connection(const Connection& from) {
  json::object out;
  out["src"] = from.source.text();
  if (from.original.empty()) out["originalDst"] = nullptr;
  else out["originalDst"] = from.original;
  out["actualDst"] = from.actual.text();
  out["protocol"] = from.tunnel ? "HBONE" : "TCP";
  return out;
}

json::object pod(const PodState& from) {
  json::array inbound, outbound;
  for (const Connection& each : from.connections)
    (each.way == Connection::Way::kInbound ? inbound : outbound).emplace_back(connection(each));
  return {{"state", from.pending ? "Pending" : "Up"},
          {"connections", json::object{{"inbound", std::move(inbound)}, {"outbound", std::move(outbound)}}},
          {"info",
           json::object{
               {"name", from.name.name}, {"namespace", from.name.name_space}, {"serviceAccount", from.name.service_account}}}};
}

}  // namespace

std::string config_dump(const Dump& dump) {
  json::object out = culvert::dump::write(*dump.mesh);
  json::array certificates;
  json::object settings, pods;
  for (const auto& each : dump.certificates) certificates.emplace_back(certificate(each));
  for (const auto& each : dump.settings) settings[each.name] = each.value;
  for (const auto& [uid, each] : dump.pods) pods[uid] = pod(each);
  json::object file{{"workloads", json::array{}}, {"policies", json::array{}}, {"services", json::array{}}};
  if (dump.from_file) file = {{"workloads", out["workloads"]}, {"policies", out["policies"]}, {"services", out["services"]}};
  out["staticConfig"] = std::move(file);
  out["version"] = json::object{{"version", kVersion}};
  out["config"] = std::move(settings);
  out["certificates"] = std::move(certificates);
  out["workloadState"] = std::move(pods);
  return json::serialize(out);
}

}  // namespace culvert::ztunnel
