// Each rule beside what it is in C++. A document that comes here has the types and forms that its proto says.
#include <algorithm>
#include <array>

#include "common/config/rules.h"
#include "common/config/time.h"
#include "common/config/url.h"

namespace culvert::config {
namespace {

using Self = const Written&;

template <class... Words>
bool is_any(const std::string& text, Words... words) {
  return ((text == words) || ...);
}

bool has_filter(Self filters, std::string_view type) {
  return std::ranges::any_of(filters.items(), [&](Self filter) { return filter.text("type") == type; });
}

// What `^(?:[-A-Za-z0-9/._~!$&()*+,;=:@']|[%][0-9a-fA-F]{2})+$` matches.
bool has_characters_of_path(std::string_view path) {
  constexpr std::string_view kOthers = "-/._~!$&()*+,;=:@'";
  constexpr std::string_view kDigits = "0123456789", kHex = "0123456789abcdefABCDEF";
  for (std::size_t i = 0; i < path.size(); ++i) {
    const char c = path[i];
    if (c == '%') {
      if (i + 2 >= path.size() || !kHex.contains(path[i + 1]) || !kHex.contains(path[i + 2])) return false;
      i += 2;
    } else if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !kDigits.contains(c) && !kOthers.contains(c)) {
      return false;
    }
  }
  return !path.empty();
}

bool is_normal_path(std::string_view path) {
  return path.starts_with('/') && !path.contains("//") && !path.contains("/./") && !path.contains("/../") &&
         !path.contains('#') && !path.ends_with("/..") && !path.ends_with("/.");
}

bool is_same_listener(Self a, Self b) {
  return a.number("port") == b.number("port") && a.text("protocol") == b.text("protocol") &&
         a.has("hostname") == b.has("hostname") && a.text("hostname") == b.text("hostname");
}

constexpr Check kChecks[] = {
    // --- Gateways ---
    {"self.all(l, l.protocol in ['HTTP', 'TCP', 'UDP'] ? !has(l.tls) : true)",
     [](Self listener) { return !is_any(listener.text("protocol"), "HTTP", "TCP", "UDP") || !listener.has("tls"); }, true},

    {"self.all(l, l.protocol == 'HTTPS' && has(l.tls) ? l.tls.mode == 'Terminate' : true)",
     [](Self listener) {
       return listener.text("protocol") != "HTTPS" || !listener.has("tls") || listener.at("tls").text("mode") == "Terminate";
     },
     true},

    {"self.all(l, l.protocol == 'TLS' ? has(l.tls) : true)",
     [](Self listener) { return listener.text("protocol") != "TLS" || listener.has("tls"); }, true},

    {"self.all(l, l.protocol in ['TCP', 'UDP'] ? !has(l.hostname) : true)",
     [](Self listener) { return !is_any(listener.text("protocol"), "TCP", "UDP") || !listener.has("hostname"); }, true},

    {"self.all(a, self.exists_one(b, a.port == b.port && a.protocol == b.protocol && "
     "(has(a.hostname) && has(b.hostname) ? a.hostname == b.hostname : !has(a.hostname) && !has(b.hostname))))",
     [](Self listeners) {
       return std::ranges::all_of(listeners.items(), [&](Self a) {
         return std::ranges::count_if(listeners.items(), [&](Self b) { return is_same_listener(a, b); }) == 1;
       });
     }},

    {"self.mode == 'Terminate' ? (has(self.certificateRefs) && size(self.certificateRefs) > 0) || "
     "(has(self.options) && size(self.options) > 0) : true",
     [](Self tls) {
       return tls.text("mode") != "Terminate" || tls.at("certificateRefs").size() > 0 || tls.at("options").size() > 0;
     }},

    // --- routes ---
    {"size(self.group) == 0 && self.kind == 'Service' ? has(self.port) : true",
     [](Self backend) { return !backend.text("group").empty() || backend.text("kind") != "Service" || backend.has("port"); }},

    {"has(self.backendRefs) && size(self.backendRefs) > 0 && has(self.filters) ? "
     "self.filters.all(f, !has(f.requestRedirect)) : true",
     [](Self rule) {
       return rule.at("backendRefs").size() == 0 ||
              std::ranges::none_of(rule.at("filters").items(), [](Self filter) { return filter.has("requestRedirect"); });
     }},

    {"!(has(self.request) && has(self.backendRequest) && duration(self.request) != duration('0s') && "
     "duration(self.backendRequest) > duration(self.request))",
     [](Self timeouts) {
       const auto request = duration_of(timeouts.text("request")), backend = duration_of(timeouts.text("backendRequest"));
       return !request || !backend || request->count() == 0 || *backend <= *request;
     }},

    {"!(self.exists(f, f.type == 'RequestRedirect') && self.exists(f, f.type == 'URLRewrite'))",
     [](Self filters) { return !has_filter(filters, "RequestRedirect") || !has_filter(filters, "URLRewrite"); }},

    {"self.type in ['Exact', 'PathPrefix'] ? self.value.startsWith('/') && !self.value.contains('//') && "
     "!self.value.contains('/./') && !self.value.contains('/../') && !self.value.contains('#') && "
     "!self.value.endsWith('/..') && !self.value.endsWith('/.') : true",
     [](Self path) { return !is_any(path.text("type"), "Exact", "PathPrefix") || is_normal_path(path.text("value")); }},

    {"self.type in ['Exact', 'PathPrefix'] ? !self.value.contains('%2f') && !self.value.contains('%2F') && "
     "self.value.matches('^(?:[-A-Za-z0-9/._~!$&()*+,;=:@\\']|[%][0-9a-fA-F]{2})+$') : true",
     [](Self path) {
       const std::string value = path.text("value");
       return !is_any(path.text("type"), "Exact", "PathPrefix") ||
              (!value.contains("%2f") && !value.contains("%2F") && has_characters_of_path(value));
     }},

    {"self.numerator <= self.denominator",
     [](Self fraction) { return fraction.number("numerator") <= fraction.number("denominator"); }},

    // --- Istio's objects ---
    {"isURL(self) ? url(self).getScheme() in ['', 'http', 'https', 'oci', 'file'] : "
     "(isURL('http://' + self) && url('http://' + self).getScheme() == 'http')",
     [](Self url) {
       const auto scheme = scheme_of(url.text());
       return scheme ? is_any(*scheme, "", "http", "https", "oci", "file") : scheme_of("http://" + url.text()) == "http";
     }},

    {"!has(self.valueFrom) || self.valueFrom != 'HOST' || !has(self.value)",
     [](Self variable) { return variable.text("valueFrom") != "HOST" || !variable.has("value"); }},

    {"!has(self.address) || !self.address.startsWith('unix://') || !has(self.ports)",
     [](Self workload) { return !workload.text("address").starts_with("unix://") || !workload.has("ports"); }},

    {"!(has(self.addresses) && self.addresses.exists(k, k.contains('/')) && has(self.resolution) && "
     "!(self.resolution in ['STATIC', 'NONE']))",
     [](Self service) {
       return !service.has("resolution") || is_any(service.text("resolution"), "STATIC", "NONE") ||
              std::ranges::none_of(service.at("addresses").items(), [](Self address) { return address.text().contains('/'); });
     }},

    {"(has(self.resolution) && self.resolution != 'NONE') || !has(self.endpoints)",
     [](Self service) { return !is_any(service.text("resolution"), "", "NONE") || !service.has("endpoints"); }},

    {"!has(self.resolution) || self.resolution != 'DNS_ROUND_ROBIN' || !has(self.endpoints) || self.endpoints.size() <= 1",
     [](Self service) { return service.text("resolution") != "DNS_ROUND_ROBIN" || service.at("endpoints").size() <= 1; }},

    {"self.all(host, host != '*')", [](Self host) { return host.text() != "*"; }, true},

    {"(has(self.operation) && self.operation == 'REMOVE') || (has(self.value) && self.value != '')",
     [](Self tag) { return tag.text("operation") == "REMOVE" || !tag.text("value").empty(); }},

    {"!has(self.operation) || self.operation != 'REMOVE' || !has(self.value)",
     [](Self tag) { return tag.text("operation") != "REMOVE" || !tag.has("value"); }},

    {"self.size() == 0", [](Self name_space) { return name_space.text().empty(); }},

    {"!has(self.portLevelMtls) || (has(self.selector) && has(self.selector.matchLabels) && self.selector.matchLabels.size() > 0)",
     [](Self policy) { return !policy.has("portLevelMtls") || policy.at("selector").at("matchLabels").size() > 0; }},

    {"(has(self.serviceAccounts) || has(self.notServiceAccounts)) ? (!has(self.principals) && !has(self.notPrincipals) && "
     "!has(self.namespaces) && !has(self.notNamespaces)) : true",
     [](Self source) {
       const auto has = [&](std::string_view field) { return source.has(field); };
       return !std::ranges::any_of(std::array{"serviceAccounts", "notServiceAccounts"}, has) ||
              std::ranges::none_of(std::array{"principals", "notPrincipals", "namespaces", "notNamespaces"}, has);
     }},
};

}  // namespace

std::span<const Check> checks() { return kChecks; }

}  // namespace culvert::config
