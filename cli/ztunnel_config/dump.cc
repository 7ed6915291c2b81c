#include "cli/ztunnel_config/dump.h"

#include <algorithm>
#include <boost/json.hpp>
#include <map>
#include <utility>
#include <vector>

#include "cli/print/json.h"
#include "common/base/format.h"
#include "common/config/time.h"
#include "common/http/message.h"

namespace culvert::cli {
namespace {

namespace json = boost::json;
using print::array_at;
using print::Colour;
using print::joined;
using print::object_at;
using print::Row;
using print::text_at;
using print::texts_at;

constexpr std::size_t kPadding = 1, kCertificatePadding = 5;  // as istioctl's

// "network/address" without the network.
std::string without_network(const std::string& text) { return text.substr(text.find('/') == text.npos ? 0 : text.find('/') + 1); }

bool passes(const std::string& wanted, const std::string& is) { return wanted.empty() || http::equal_ignoring_case(wanted, is); }

// Objects of a list that pass, sorted by a key.
template <class Passes, class Key>
std::vector<const json::object*> chosen(const json::array& from, Passes passes_filter, Key key) {
  std::vector<const json::object*> out;
  for (const json::value& each : from)
    if (each.is_object() && passes_filter(each.as_object())) out.push_back(&each.as_object());
  std::ranges::stable_sort(out, {}, [&](const json::object* each) { return key(*each); });
  return out;
}

bool passes_workload(const json::object& workload, const DumpFilter& filter) {
  const auto addresses = texts_at(workload, "workloadIps");
  return passes(filter.name_space, text_at(workload, "namespace")) && passes(filter.node, text_at(workload, "node")) &&
         (filter.address.empty() || std::ranges::any_of(addresses, [&](const std::string& each) {
            return http::equal_ignoring_case(each, filter.address);
          }));
}

// What waypoints are called: services by "namespace/hostname" and by "network/address".
class Waypoints {
 public:
  explicit Waypoints(const json::array& services) {
    for (const json::value& each : services) {
      if (!each.is_object()) continue;
      const json::object& service = each.as_object();
      const std::string name = text_at(service, "name");
      names_.emplace(text_at(service, "namespace") + "/" + text_at(service, "hostname"), name);
      for (const std::string& vip : texts_at(service, "vips")) names_.emplace(vip, name);
    }
  }
  std::string of(const json::object& object) const {
    const auto* waypoint = object.if_contains("waypoint");
    if (waypoint == nullptr || !waypoint->is_object()) return "None";
    const auto found = names_.find(text_at(waypoint->as_object(), "destination"));
    return found == names_.end() ? "NA" : found->second;
  }

 private:
  std::map<std::string, std::string> names_;
};

std::string workload_table(const ZtunnelDump& dump, const DumpView& view) {
  const Waypoints waypoints(dump.services);
  std::vector<Row> rows = {{"NAMESPACE", "POD NAME", "ADDRESS", "NODE", "WAYPOINT", "PROTOCOL"}};
  const auto workloads = chosen(
      dump.workloads, [&](const json::object& each) { return passes_workload(each, view.filter); },
      [](const json::object& each) {
        return std::pair(text_at(each, "namespace") + "." + text_at(each, "name"), text_at(each, "node"));
      });
  for (const json::object* each : workloads) {
    const std::string addresses = joined(texts_at(*each, "workloadIps"));
    rows.push_back({text_at(*each, "namespace"), text_at(*each, "name"),
                    addresses.empty() ? text_at(*each, "hostname") : addresses, text_at(*each, "node"), waypoints.of(*each),
                    text_at(*each, "protocol")});
  }
  return print::table(rows, kPadding, view.coloured);
}

std::vector<const json::object*> services_of(const ZtunnelDump& dump, const DumpFilter& filter) {
  return chosen(
      dump.services, [&](const json::object& each) { return passes(filter.name_space, text_at(each, "namespace")); },
      [](const json::object& each) {
        return std::tuple(text_at(each, "namespace"), text_at(each, "name"), text_at(each, "hostname"));
      });
}

std::string service_table(const ZtunnelDump& dump, const DumpView& view) {
  const Waypoints waypoints(dump.services);
  std::map<std::string, bool> healthy;  // workloads, by uid
  for (const json::value& each : dump.workloads)
    if (each.is_object()) healthy[text_at(each.as_object(), "uid")] = text_at(each.as_object(), "status") == "Healthy";
  std::vector<Row> rows = {{"NAMESPACE", "SERVICE NAME", "SERVICE VIP", "WAYPOINT", "ENDPOINTS"}};
  for (const json::object* each : services_of(dump, view.filter)) {
    std::vector<std::string> addresses = texts_at(*each, "vips");
    for (std::string& address : addresses) address = without_network(address);
    const json::object& endpoints = object_at(*each, "endpoints");
    const auto well = std::ranges::count_if(endpoints, [&](const auto& endpoint) {
      if (!endpoint.value().is_object()) return false;
      const auto found = healthy.find(text_at(endpoint.value().as_object(), "workloadUid"));
      return found != healthy.end() && found->second;
    });
    const auto all = static_cast<std::ptrdiff_t>(endpoints.size());
    rows.push_back({text_at(*each, "namespace"),
                    text_at(*each, "name"),
                    joined(addresses),
                    waypoints.of(*each),
                    {culvert::format("{}/{}", well, all), well == 0 && all != 0 ? Colour::kRed : Colour::kNone}});
  }
  return print::table(rows, kPadding, view.coloured);
}

std::vector<const json::object*> policies_of(const ZtunnelDump& dump, const DumpFilter& filter) {
  return chosen(
      dump.policies, [&](const json::object& each) { return passes(filter.name_space, text_at(each, "namespace")); },
      [](const json::object& each) { return std::pair(text_at(each, "namespace"), text_at(each, "name")); });
}

std::string policy_table(const ZtunnelDump& dump, const DumpView& view) {
  std::vector<Row> rows = {{"NAMESPACE", "POLICY NAME", "ACTION", "SCOPE"}};
  for (const json::object* each : policies_of(dump, view.filter))
    rows.push_back({text_at(*each, "namespace"), text_at(*each, "name"), text_at(*each, "action"), text_at(*each, "scope")});
  return print::table(rows, kPadding, view.coloured);
}

std::string or_na(std::string text) { return text.empty() ? "NA" : std::move(text); }

Row certificate_row(const std::string& identity, std::string type, const std::string& state, const json::object& certificate,
                    std::int64_t now) {
  const std::string from = text_at(certificate, "validFrom"), until = text_at(certificate, "expirationTime");
  const auto begins = config::seconds_of(from), ends = config::seconds_of(until);
  const bool valid = begins && ends && *begins < now && now < *ends;
  return {identity,
          std::move(type),
          state,
          {valid ? "true" : "false", valid ? Colour::kNone : Colour::kRed},
          or_na(hexadecimal(text_at(certificate, "serialNumber"))),
          or_na(until),
          or_na(from)};
}

std::string certificate_table(const ZtunnelDump& dump, const DumpView& view) {
  const std::int64_t now = std::chrono::duration_cast<std::chrono::seconds>(view.now.time_since_epoch()).count();
  std::vector<Row> rows = {{"CERTIFICATE NAME", "TYPE", "STATUS", "VALID CERT", "SERIAL NUMBER", "NOT AFTER", "NOT BEFORE"}};
  for (const json::value& value : dump.certificates) {
    if (!value.is_object()) continue;
    const json::object& each = value.as_object();
    const std::string identity = text_at(each, "identity");
    const std::string state = text_at(each, "state").contains("Unavailable") ? "Unavailable" : text_at(each, "state");
    const json::array& chain = array_at(each, "certChain");
    const json::array& roots = array_at(each, "rootCerts");
    if (chain.empty()) rows.push_back({identity, "NA", state, {"false", Colour::kRed}, "NA", "NA", "NA"});
    for (std::size_t i = 0; i < chain.size(); ++i) {
      // Ztunnels used to have the root at the end of the chain.
      const char* type = i == 0 ? "Leaf" : i + 1 == chain.size() && roots.empty() ? "Root" : "Intermediate";
      if (chain[i].is_object()) rows.push_back(certificate_row(identity, type, state, chain[i].as_object(), now));
    }
    for (const json::value& root : roots)
      if (root.is_object() && !chain.empty()) rows.push_back(certificate_row(identity, "Root", state, root.as_object(), now));
  }
  return print::table(rows, kCertificatePadding, view.coloured);
}

// Addresses by the names of services and workloads.
class Names {
 public:
  Names(const ZtunnelDump& dump, bool raw) : raw_(raw) {
    if (raw) return;
    for (const json::value& each : dump.services)
      if (each.is_object())
        for (const std::string& vip : texts_at(each.as_object(), "vips"))
          names_.emplace(without_network(vip), text_at(each.as_object(), "hostname"));
    for (const json::value& each : dump.workloads)
      if (each.is_object())
        for (const std::string& address : texts_at(each.as_object(), "workloadIps"))
          names_.emplace(address, text_at(each.as_object(), "name") + "." + text_at(each.as_object(), "namespace"));
  }
  // "10.0.0.1:80", "[fd00::1]:80"; anything else as it is.
  std::string of(const std::string& endpoint) const {
    const auto colon = endpoint.rfind(':');
    if (raw_ || colon == endpoint.npos) return endpoint;
    std::string address = endpoint.substr(0, colon);
    if (address.starts_with('[') && address.ends_with(']')) address = address.substr(1, address.size() - 2);
    const auto found = names_.find(address);
    return found == names_.end() ? endpoint : found->second + endpoint.substr(colon);
  }

 private:
  bool raw_;
  std::map<std::string, std::string> names_;
};

std::vector<const json::object*> pods_of(const ZtunnelDump& dump, const DumpFilter& filter) {
  std::vector<const json::object*> out;
  for (const auto& [uid, pod] : dump.pods)
    if (pod.is_object() &&
        (filter.name_space.empty() || text_at(object_at(pod.as_object(), "info"), "namespace") == filter.name_space))
      out.push_back(&pod.as_object());
  std::ranges::stable_sort(out, {}, [](const json::object* each) {
    const json::object& info = object_at(*each, "info");
    return std::pair(text_at(info, "namespace"), text_at(info, "name"));
  });
  return out;
}

std::string connection_table(const ZtunnelDump& dump, const DumpView& view) {
  const Names names(dump, view.filter.raw);
  std::vector<Row> rows = {{"WORKLOAD", "DIRECTION", "LOCAL", "REMOTE", "REMOTE TARGET", "PROTOCOL"}};
  for (const json::object* pod : pods_of(dump, view.filter)) {
    const json::object& info = object_at(*pod, "info");
    const std::string name = text_at(info, "name") + "." + text_at(info, "namespace");
    const json::object& connections = object_at(*pod, "connections");
    const auto each = [&](const char* way, auto add) {
      for (const json::value& connection : array_at(connections, way))
        if (connection.is_object()) add(connection.as_object());
    };
    if (view.filter.direction != "outbound")
      each("inbound", [&](const json::object& one) {
        rows.push_back({name, "Inbound", names.of(text_at(one, "actualDst")), names.of(text_at(one, "src")),
                        text_at(one, "originalDst"), text_at(one, "protocol")});
      });
    if (view.filter.direction != "inbound")
      each("outbound", [&](const json::object& one) {
        rows.push_back({name, "Outbound", names.of(text_at(one, "src")), names.of(text_at(one, "actualDst")),
                        names.of(text_at(one, "originalDst")), text_at(one, "protocol")});
      });
  }
  return print::table(rows, kPadding, view.coloured);
}

json::array list_or_map(const json::object& in, std::string_view name) {
  if (const auto* value = in.if_contains(name); value != nullptr && value->is_object()) {
    json::array out;
    for (const auto& [key, each] : value->as_object()) out.push_back(each);
    return out;
  }
  return array_at(in, name);
}

json::array copied(const std::vector<const json::object*>& from) {
  json::array out;
  for (const json::object* each : from) out.emplace_back(*each);
  return out;
}

}  // namespace

Result<ZtunnelDump> ZtunnelDump::read(std::string_view text) {
  boost::system::error_code failed;
  ZtunnelDump out{.all = json::parse(text, failed)};
  if (failed || !out.all.is_object()) return failure("the dump is no JSON object");
  const json::object& in = out.all.as_object();
  for (const char* part : {"workloads", "services", "policies"})
    if (!in.contains(part)) return failure(culvert::format("the dump has no {} (is it a ztunnel's config_dump?)", part));
  out.workloads = list_or_map(in, "workloads");
  out.services = list_or_map(in, "services");
  out.policies = list_or_map(in, "policies");
  out.certificates = list_or_map(in, "certificates");
  out.pods = object_at(in, "workloadState");
  return out;
}

std::string hexadecimal(std::string_view decimal) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;  // lowest digit first
  for (const char c : decimal) {
    if (c < '0' || c > '9') return "";
    unsigned carry = static_cast<unsigned>(c - '0');
    for (char& digit : out) {
      carry += static_cast<unsigned>(kDigits.find(digit)) * 10;
      digit = kDigits[carry & 15];
      carry >>= 4;
    }
    if (carry != 0) out += kDigits[carry];
  }
  if (out.empty() && !decimal.empty()) return "0";
  std::ranges::reverse(out);
  return out;
}

std::string tables_of(const ZtunnelDump& dump, const DumpView& view) {
  switch (view.part) {
    case DumpPart::kWorkloads: return workload_table(dump, view);
    case DumpPart::kServices: return service_table(dump, view);
    case DumpPart::kPolicies: return policy_table(dump, view);
    case DumpPart::kCertificates: return certificate_table(dump, view);
    case DumpPart::kConnections: return connection_table(dump, view);
    case DumpPart::kAll: break;
  }
  std::string out;
  struct Section {
    const char* title;
    std::string (*table)(const ZtunnelDump&, const DumpView&);
  };
  constexpr Section kSections[] = {{"WORKLOAD", workload_table},
                                   {"SERVICE", service_table},
                                   {"POLICY", policy_table},
                                   {"SECRET", certificate_table},
                                   {"CONNECTIONS", connection_table}};
  for (const auto& [title, table] : kSections) {
    if (view.headers) out += culvert::format("\n------ {} INFO ------\n", title);
    out += "\n" + table(dump, view);
  }
  return out;
}

json::value objects_of(const ZtunnelDump& dump, const DumpView& view) {
  switch (view.part) {
    case DumpPart::kWorkloads:
      return copied(chosen(
          dump.workloads, [&](const json::object& each) { return passes_workload(each, view.filter); },
          [](const json::object&) { return 0; }));
    case DumpPart::kServices: return copied(services_of(dump, view.filter));
    case DumpPart::kPolicies: return copied(policies_of(dump, view.filter));
    case DumpPart::kCertificates: return dump.certificates;
    case DumpPart::kConnections: return copied(pods_of(dump, view.filter));
    case DumpPart::kAll: break;
  }
  return dump.all;
}

}  // namespace culvert::cli
