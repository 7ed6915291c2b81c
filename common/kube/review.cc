#include "common/kube/review.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "common/kube/json.h"

namespace culvert::kube {
namespace {

namespace json = boost::json;

const json::object* object_at(const json::object& in, std::string_view name) {
  const auto* value = in.if_contains(name);
  return value != nullptr ? value->if_object() : nullptr;
}

bool true_at(const json::object& in, std::string_view name) {
  const auto* value = in.if_contains(name);
  return value != nullptr && value->is_bool() && value->as_bool();
}

std::vector<std::string> texts_at(const json::object& in, std::string_view name) {
  std::vector<std::string> out;
  const auto* value = in.if_contains(name);
  if (value == nullptr || !value->is_array()) return out;
  for (const json::value& one : value->as_array())
    if (one.is_string()) out.emplace_back(one.as_string());
  return out;
}

Result<json::object> status_of(std::string_view answer, std::string_view kind) {
  boost::system::error_code failed;
  const json::value value = json::parse(answer, failed);
  const json::object* review = failed ? nullptr : value.if_object();
  const json::object* status = review != nullptr && text_at(*review, "kind") == kind ? object_at(*review, "status") : nullptr;
  if (status == nullptr) return failure("the answer is no " + std::string(kind) + " with a status");
  return *status;
}

std::string first_at(const json::object* extra, std::string_view name) {
  if (extra == nullptr) return {};
  auto values = texts_at(*extra, name);
  return values.empty() ? std::string() : std::move(values.front());
}

}  // namespace

std::optional<User::Account> User::service_account() const {
  constexpr std::string_view kPrefix = "system:serviceaccount:";
  if (!name.starts_with(kPrefix)) return std::nullopt;
  const std::string_view rest = std::string_view(name).substr(kPrefix.size());
  const auto colon = rest.find(':');
  if (colon == std::string_view::npos || colon == 0 || colon + 1 == rest.size() || rest.find(':', colon + 1) != rest.npos)
    return std::nullopt;
  return Account{std::string(rest.substr(0, colon)), std::string(rest.substr(colon + 1))};
}

Request review_token(std::string_view token, const std::vector<std::string>& audiences) {
  json::object spec{{"token", token}};
  if (!audiences.empty()) spec["audiences"] = json::array(audiences.begin(), audiences.end());
  return create({.of = {.group = "authentication.k8s.io", .plural = "tokenreviews"}},
                json::serialize(json::object{
                    {"apiVersion", "authentication.k8s.io/v1"}, {"kind", "TokenReview"}, {"spec", std::move(spec)}}));
}

Result<User> reviewed_token(std::string_view answer, const std::vector<std::string>& audiences) {
  auto status = status_of(answer, "TokenReview");
  if (!status) return std::unexpected(std::move(status).error());
  if (!true_at(*status, "authenticated")) {
    const std::string why = text_at(*status, "error");
    return failure("the token is not good: " + (why.empty() ? "the API server does not know it" : why));
  }
  // A server, or a webhook behind it, that knows no audiences leaves them out: its yes does not mean what we asked.
  const std::vector<std::string> meant = texts_at(*status, "audiences");
  const auto asked = [&](const std::string& one) { return std::ranges::contains(audiences, one); };
  if (!audiences.empty() && std::ranges::none_of(meant, asked))
    return failure("the token is good, but not for " + audiences.front());
  const json::object* user = object_at(*status, "user");
  if (user == nullptr || text_at(*user, "username").empty())
    return failure("the token is good, but the answer does not say whose");
  const json::object* extra = object_at(*user, "extra");
  return User{.name = text_at(*user, "username"),
              .uid = text_at(*user, "uid"),
              .groups = texts_at(*user, "groups"),
              .pod_name = first_at(extra, "authentication.kubernetes.io/pod-name"),
              .pod_uid = first_at(extra, "authentication.kubernetes.io/pod-uid"),
              .node_name = first_at(extra, "authentication.kubernetes.io/node-name")};
}

Request review_access(std::string_view verb, const Place& at) {
  json::object attributes{{"verb", verb}, {"group", at.of.group}, {"version", at.of.version}, {"resource", at.of.plural}};
  if (!at.ns.empty()) attributes["namespace"] = at.ns;
  if (!at.name.empty()) attributes["name"] = at.name;
  if (!at.subresource.empty()) attributes["subresource"] = at.subresource;
  return create({.of = {.group = "authorization.k8s.io", .plural = "selfsubjectaccessreviews"}},
                json::serialize(json::object{{"apiVersion", "authorization.k8s.io/v1"},
                                             {"kind", "SelfSubjectAccessReview"},
                                             {"spec", json::object{{"resourceAttributes", std::move(attributes)}}}}));
}

Result<Verdict> reviewed_access(std::string_view answer) {
  auto status = status_of(answer, "SelfSubjectAccessReview");
  if (!status) return std::unexpected(std::move(status).error());
  const std::string why = text_at(*status, "reason"), failed = text_at(*status, "evaluationError");
  return Verdict{.allowed = true_at(*status, "allowed") && !true_at(*status, "denied"), .why = why.empty() ? failed : why};
}

}  // namespace culvert::kube
