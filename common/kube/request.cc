#include "common/kube/request.h"

#include "common/base/format.h"
#include "common/kube/object.h"

namespace culvert::kube {
namespace {

constexpr std::size_t kMaxSaid = 1000;  // characters of somebody else's text in an error

std::string encoded(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
                       c == '_' || c == '~';
    if (plain) out += c;
    else out += culvert::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

// services is forbidden: User "system:serviceaccount:istio-system:culvertd" cannot list resource ...
std::string user_in(std::string_view message) {
  constexpr std::string_view kMark = "User \"";
  const auto begin = message.find(kMark);
  if (begin == std::string_view::npos) return {};
  message.remove_prefix(begin + kMark.size());
  return std::string(message.substr(0, message.find('"')));
}

std::string advice(const Request& request, int status, std::string_view message) {
  switch (status) {
    case 401: return "is the token expired, or of another cluster?";
    case 403: break;
    case 404: return request.at.name.empty() && request.path.empty() ? "is the CRD installed, and served in this version?" : "";
    case 429: return "the API server sheds load";
    default: return "";
  }
  if (!request.path.empty()) return culvert::format("RBAC: grant {} on the path {}", request.verb, request.path);
  std::string resource = request.at.of.plural;
  if (!request.at.subresource.empty()) resource += "/" + request.at.subresource;
  if (!request.at.of.group.empty()) resource += "." + request.at.of.group;
  const std::string where = request.at.ns.empty() ? "" : " in namespace " + request.at.ns;
  const std::string user = user_in(message);
  return culvert::format("RBAC: grant {} on {}{} to {}", request.verb, resource, where, user.empty() ? "this user" : user);
}

Request of(std::string verb, std::string method, Place at, std::string type = {}, std::string body = {}) {
  return {.verb = std::move(verb),
          .method = std::move(method),
          .at = std::move(at),
          .content_type = std::move(type),
          .body = std::move(body)};
}

}  // namespace

std::string one_line(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, kMaxSaid)) out += static_cast<unsigned char>(c) < ' ' || c == '\x7f' ? ' ' : c;
  while (out.ends_with(' ')) out.pop_back();
  return text.size() > kMaxSaid ? out + "..." : out;
}

std::string Place::path() const {
  std::string out = of.group.empty() ? "/api/" + encoded(of.version) : "/apis/" + encoded(of.group) + "/" + encoded(of.version);
  if (!ns.empty()) out += "/namespaces/" + encoded(ns);
  out += "/" + encoded(of.plural);
  if (!name.empty()) out += "/" + encoded(name);
  if (!subresource.empty()) out += "/" + encoded(subresource);
  return out;
}

std::string Place::text() const {
  std::string out = of.text();
  if (!subresource.empty()) out.insert(of.plural.size(), "/" + subresource);
  if (!name.empty()) return out + " " + Key{ns, name}.text();
  return ns.empty() ? out : out + " of namespace " + ns;
}

std::string Request::target() const {
  std::string out = path.empty() ? at.path() : path;
  char separator = '?';
  for (const auto& [name, value] : query) {
    out.append(1, separator).append(encoded(name)).append("=").append(encoded(value));
    separator = '&';
  }
  return out;
}

std::string Request::text() const { return verb + " " + (path.empty() ? at.text() : path); }

Request get(Place at) { return of("get", "GET", std::move(at)); }

Request get_path(std::string path) {
  Request request = of("get", "GET", {});
  request.path = std::move(path);
  return request;
}

Request list(Place at, Query query) {
  Request request = of("list", "GET", std::move(at));
  request.query = std::move(query);
  return request;
}

Request create(Place at, std::string object) {
  return of("create", "POST", std::move(at), "application/json", std::move(object));
}

Request merge(Place at, std::string patch) {
  return of("patch", "PATCH", std::move(at), "application/merge-patch+json", std::move(patch));
}

Request apply(Place at, std::string object, const ApplyOptions& options) {
  Request request = of("patch", "PATCH", std::move(at), "application/apply-patch+yaml", std::move(object));
  request.query = {{"fieldManager", options.field_manager}, {"force", options.force ? "true" : "false"}};
  return request;
}

Request replace(Place at, std::string object) {
  return of("update", "PUT", std::move(at), "application/json", std::move(object));
}

Request remove(Place at) { return of("delete", "DELETE", std::move(at)); }

bool is_success(int status) { return status >= 200 && status < 300; }

Error refusal(const Request& request, int status, std::string_view body) {
  const Explanation said = explanation_of(body);
  std::string text = culvert::format("{}: {}", request.text(), status);
  const std::string phrase(http::reason_phrase(status));
  if (!said.reason.empty()) text += " " + one_line(said.reason);
  else if (!phrase.empty()) text += " " + phrase;
  const std::string message = one_line(said.message.empty() ? body : std::string_view(said.message));
  if (!message.empty()) text += ": " + message;
  if (const std::string todo = advice(request, status, message); !todo.empty()) text += " (" + todo + ")";
  return {std::move(text), Reason::kHttpStatus};
}

}  // namespace culvert::kube
