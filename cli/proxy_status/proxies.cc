#include "cli/proxy_status/proxies.h"

#include <algorithm>
#include <boost/json.hpp>
#include <set>

#include "cli/print/json.h"
#include "cli/print/table.h"
#include "common/base/format.h"
#include "common/config/time.h"

namespace culvert::cli {
namespace {

namespace json = boost::json;
using print::Colour;
using print::joined;
using print::object_at;
using print::text_at;

constexpr std::size_t kPadding = 5;     // as istioctl's
constexpr std::size_t kMostNack = 120;  // of a text in a table

// "type.googleapis.com/istio.workload.Address" -> "WDS"
std::string short_name(std::string_view type_url) {
  const std::string_view type = type_url.substr(type_url.rfind('/') == type_url.npos ? 0 : type_url.rfind('/') + 1);
  if (type == "istio.workload.Address" || type == "istio.workload.Workload") return "WDS";
  if (type == "istio.security.Authorization") return "WADS";
  return std::string(type.substr(type.rfind('.') == type.npos ? 0 : type.rfind('.') + 1));
}

// "ztunnel~10.0.0.1~ztunnel-x.istio-system~..." -> "ztunnel-x.istio-system"; where a proxy is no pod it is told by its node.
std::string name_of(const json::object& in) {
  const std::string id = text_at(in, "proxy");
  const auto second = id.find('~', id.find('~') + 1);
  std::string name = id.contains('~') && second != id.npos ? id.substr(second + 1, id.find('~', second + 1) - second - 1) : id;
  const std::string node = text_at(in, "node");
  return (name.empty() || name.starts_with('.')) && !node.empty() ? node : name;
}

void add(std::string& to, const std::string& text) {
  if (!text.empty()) to += (to.empty() ? "" : "; ") + text;
}

void read_type(const std::string& url, const json::object& in, Proxy& out) {
  const std::string type = short_name(url);
  if (!std::ranges::contains(out.types, type)) out.types.push_back(type);
  const std::string error = text_at(in, "lastError");
  // After a NACK the acknowledged nonce stays behind, and nothing is under way.
  if (text_at(in, "sent") != text_at(in, "acked") && error.empty() && !std::ranges::contains(out.pending, type))
    out.pending.push_back(type);
  add(out.refused, error);
  const auto at = config::seconds_of(text_at(in, "lastNackTime"));
  if (!at) return;
  const std::chrono::system_clock::time_point when{std::chrono::seconds(*at)};
  if (out.nacked_at && *out.nacked_at >= when) return;
  out.nacked_at = when;
  out.nack = text_at(in, "lastNack");
}

std::string_view or_dash(const std::string& text) { return text.empty() ? "-" : std::string_view(text); }

print::Cell pending_cell(const Proxy& proxy) {
  if (proxy.current) return "-";
  if (!proxy.pending.empty()) return {joined(proxy.pending), Colour::kYellow};
  return {"waiting", Colour::kYellow};
}

print::Cell nack_cell(const Proxy& proxy, std::chrono::system_clock::time_point now) {
  const std::string& said = proxy.nack.empty() ? proxy.refused : proxy.nack;
  if (said.empty()) return "-";
  std::string text(said, 0, kMostNack);
  if (said.size() > kMostNack) text += "...";
  if (proxy.nacked_at) text = age_text(std::chrono::floor<std::chrono::seconds>(now - *proxy.nacked_at)) + " ago: " + text;
  if (proxy.refused.empty()) return text + " (mended)";
  return {text, Colour::kRed};
}

}  // namespace

Result<std::vector<Proxy>> read_proxies(std::string_view plane, std::string_view syncz) {
  boost::system::error_code failed;
  const json::value value = json::parse(syncz, failed);
  if (failed || !value.is_array())
    return failure(culvert::format("{} answers something else than who is connected (is it a culvertd?)", plane));
  std::vector<Proxy> out;
  for (const json::value& each : value.as_array()) {
    if (!each.is_object()) continue;
    const json::object& in = each.as_object();
    Proxy& proxy = out.emplace_back();
    proxy.name = name_of(in);
    proxy.plane = plane;
    proxy.cluster = text_at(in, "cluster_id");
    proxy.version = text_at(in, "istio_version");
    proxy.node = text_at(in, "node");
    proxy.epoch = print::number_at(in, "epoch");
    proxy.acked = print::number_at(in, "epoch_applied");
    for (const auto& [url, resource] : object_at(in, "resources"))
      if (resource.is_object()) read_type(std::string(url), resource.as_object(), proxy);
    std::ranges::sort(proxy.types);
    std::ranges::sort(proxy.pending);
    proxy.current = print::flag_at(in, "current", proxy.pending.empty());
  }
  std::ranges::sort(out, {}, &Proxy::name);
  return out;
}

std::string age_text(std::chrono::seconds age) {
  using namespace std::chrono_literals;
  if (age < 2min) return culvert::format("{}s", std::max<std::int64_t>(age.count(), 0));
  if (age < 2h) return culvert::format("{}m", age / 1min);
  if (age < 48h) return culvert::format("{}h", age / 1h);
  return culvert::format("{}d", age / 24h);
}

std::string proxies_table(const std::vector<Proxy>& proxies, std::chrono::system_clock::time_point now, bool coloured) {
  std::vector<print::Row> rows = {
      {"NAME", "CLUSTER", "CULVERTD", "VERSION", "SUBSCRIBED TYPES", "EPOCH", "ACKED", "PENDING", "LAST NACK"}};
  for (const Proxy& proxy : proxies) {
    const bool knows_epochs = proxy.epoch != 0;  // istiod does not
    rows.push_back({proxy.name, std::string(or_dash(proxy.cluster)), proxy.plane, std::string(or_dash(proxy.version)),
                    culvert::format("{} ({})", proxy.types.size(), joined(proxy.types)),
                    knows_epochs ? std::to_string(proxy.epoch) : "-", knows_epochs ? std::to_string(proxy.acked) : "-",
                    pending_cell(proxy), nack_cell(proxy, now)});
  }
  return print::table(rows, kPadding, coloured);
}

json::value proxies_json(const std::vector<Proxy>& proxies) {
  json::array out;
  for (const Proxy& proxy : proxies) {
    json::object one{{"name", proxy.name},          {"node", proxy.node},       {"cluster", proxy.cluster},
                     {"controlPlane", proxy.plane}, {"version", proxy.version}, {"epoch", proxy.epoch},
                     {"acked", proxy.acked},        {"current", proxy.current}};
    one["subscribedTypes"] = json::array(proxy.types.begin(), proxy.types.end());
    one["pending"] = json::array(proxy.pending.begin(), proxy.pending.end());
    if (!proxy.refused.empty()) one["refused"] = proxy.refused;
    if (!proxy.nack.empty()) one["lastNack"] = proxy.nack;
    if (proxy.nacked_at) one["lastNackTime"] = rfc3339(*proxy.nacked_at);
    out.push_back(std::move(one));
  }
  return out;
}

}  // namespace culvert::cli
