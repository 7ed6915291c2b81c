#include "controlplane/webhook/review.h"

#include <boost/json.hpp>
#include <utility>

#include "common/config/parse.h"

namespace culvert::controlplane {
namespace {

namespace json = boost::json;

constexpr int kUnprocessable = 422;

std::string text_at(const json::object& in, std::string_view name) {
  const auto* value = in.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->as_string()) : std::string();
}

// Every mistake of the object, one a line; empty when there is none. Fields only: which object it is, kubectl says already.
std::string mistakes_of(const config::ParsedFile& file) {
  std::string text;
  for (const config::Broken& broken : file.broken) {
    for (const config::Problem& problem : broken.problems) {
      text += text.empty() ? "" : "\n";
      text += (problem.field.empty() ? "" : problem.field + ": ") + problem.what;
      if (!problem.hint.empty()) text += " (" + problem.hint + ")";
    }
  }
  if (text.empty() && !file.broken.empty()) text = "cannot be read";
  return text;
}

std::string answer_to(const std::string& uid, const std::string& why) {
  json::object response{{"uid", uid}, {"allowed", why.empty()}};
  if (!why.empty()) response["status"] = {{"code", kUnprocessable}, {"reason", "Invalid"}, {"message", why}};
  return json::serialize(
      json::object{{"apiVersion", "admission.k8s.io/v1"}, {"kind", "AdmissionReview"}, {"response", std::move(response)}});
}

}  // namespace

Result<Verdict> review(std::string_view admission_review) {
  boost::system::error_code error;
  json::parse_options options;
  options.max_depth = config::kMaxDepth + 8;
  const json::value value = json::parse(admission_review, error, {}, options);
  const auto* request = !error && value.is_object() ? value.as_object().if_contains("request") : nullptr;
  if (request == nullptr || !request->is_object()) return failure("is no AdmissionReview with a request");
  const json::object& asked = request->as_object();
  const std::string uid = text_at(asked, "uid");
  if (uid.empty()) return failure("the request has no uid");

  Verdict verdict;
  const auto* object = asked.if_contains("object");
  const std::string operation = text_at(asked, "operation");
  if (object != nullptr && object->is_object() && (operation == "CREATE" || operation == "UPDATE"))
    verdict.why = mistakes_of(config::parse_json("kubernetes", json::serialize(*object)));
  const auto* kind = asked.if_contains("kind");
  const std::string ns = text_at(asked, "namespace"), name = text_at(asked, "name");
  verdict.object = (kind != nullptr && kind->is_object() ? text_at(kind->as_object(), "kind") : "object") + " " +
                   (ns.empty() ? "" : ns + "/") + name;
  verdict.allowed = verdict.why.empty();
  verdict.answer = answer_to(uid, verdict.why);
  return verdict;
}

}  // namespace culvert::controlplane
