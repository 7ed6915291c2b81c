#include "controlplane/webhook/review.h"

#include <boost/json.hpp>
#include <utility>

#include "common/analyze/analyze.h"
#include "common/base/format.h"
#include "common/config/parse.h"
#include "controlplane/webhook/ownership.h"

namespace culvert::controlplane {
namespace {

namespace json = boost::json;

constexpr int kUnprocessable = 422;
constexpr std::size_t kMostValues = 200'000;  // more than 1.5 MiB, what the API server stores of one object, holds in honest YAML

std::string text_at(const json::object& in, std::string_view name) {
  const auto* value = in.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->as_string()) : std::string();
}

constexpr std::size_t kMostName = 253;
constexpr std::size_t kMostWarnings = 10, kMostWarning = 256;  // what kubectl shows of one, in bytes

// "AuthorizationPolicy shop/deny-all". Kubernetes' names have 253 characters; whoever reaches the port may send others.
std::string object_called(const json::object& asked) {
  const auto* kind = asked.if_contains("kind");
  std::string ns = text_at(asked, "namespace"), name = text_at(asked, "name");
  std::string what = kind != nullptr && kind->is_object() ? text_at(kind->as_object(), "kind") : "object";
  for (std::string* each : {&what, &ns, &name})
    if (each->size() > kMostName) each->resize(kMostName);
  return what + " " + (ns.empty() ? "" : ns + "/") + name;
}

// Every mistake of the object, one a line; empty when there is none. Each names the object: a file that is applied has many.
std::string mistakes_of(const config::ParsedFile& file, const std::string& object) {
  std::string text;
  for (const analyze::Finding& finding : analyze::mistakes(file)) {
    if (finding.level != analyze::Level::kError) continue;
    text += text.empty() ? "" : "\n";
    text += object + ": " + finding.text;
  }
  return text;
}

json::array warnings_of(const config::ParsedFile& file, const Among& among) {
  json::array out;
  for (const config::Parsed& parsed : file.objects) {
    for (analyze::Finding& finding : analyze::doubts(parsed, among.objects, among.settings, among.sharing)) {
      if (out.size() == kMostWarnings) return out;
      std::string text = std::move(finding.text);
      if (text.size() > kMostWarning) {
        std::size_t end = kMostWarning - 3;
        while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
        text = text.substr(0, end) + "…";
      }
      out.push_back(json::string(text));
    }
  }
  return out;
}

std::string answer_to(const std::string& uid, const std::string& why, json::array warnings) {
  json::object response{{"uid", uid}, {"allowed", why.empty()}};
  if (!why.empty()) response["status"] = {{"code", kUnprocessable}, {"reason", "Invalid"}, {"message", why}};
  if (!warnings.empty()) response["warnings"] = std::move(warnings);
  return json::serialize(
      json::object{{"apiVersion", "admission.k8s.io/v1"}, {"kind", "AdmissionReview"}, {"response", std::move(response)}});
}

// Values of JSON text, about: each stands after a bracket, a comma or a colon. Counted before any of them is made.
bool has_too_many_values(std::string_view text) {
  std::size_t values = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') quoted = !quoted;
    else if (quoted) i += c == '\\' ? 1 : 0;
    else if ((c == ',' || c == '[' || c == '{') && ++values > kMostValues) return true;
  }
  return false;
}

}  // namespace

Result<Verdict> review(std::string_view admission_review, const std::optional<Among>& among) {
  if (has_too_many_values(admission_review))
    return failure(culvert::format("has more than {} values: no object that the API server stores has", kMostValues));
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
  json::array warnings;
  verdict.object = object_called(asked);
  if (object != nullptr && object->is_object() && (operation == "CREATE" || operation == "UPDATE") &&
      concerns_us(object->as_object(), among ? &among->objects : nullptr)) {
    const config::ParsedFile file = config::parse_json("kubernetes", json::serialize(*object));
    verdict.why = mistakes_of(file, verdict.object);
    if (among && verdict.why.empty()) warnings = warnings_of(file, *among);
  }
  verdict.allowed = verdict.why.empty();
  verdict.answer = answer_to(uid, verdict.why, std::move(warnings));
  return verdict;
}

}  // namespace culvert::controlplane
