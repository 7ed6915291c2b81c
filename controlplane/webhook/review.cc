#include "controlplane/webhook/review.h"

#include <boost/json.hpp>
#include <utility>

#include "common/analyze/analyze.h"
#include "common/config/parse.h"

namespace culvert::controlplane {
namespace {

namespace json = boost::json;

constexpr int kUnprocessable = 422;

std::string text_at(const json::object& in, std::string_view name) {
  const auto* value = in.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->as_string()) : std::string();
}

constexpr std::size_t kMostWarnings = 10, kMostWarning = 256;  // what kubectl shows of one, in bytes

// Every mistake of the object, one a line; empty when there is none. Fields only: which object it is, kubectl says already.
std::string mistakes_of(const config::ParsedFile& file) {
  std::string text;
  for (const analyze::Finding& finding : analyze::mistakes(file)) {
    if (finding.level != analyze::Level::kError) continue;
    text += text.empty() ? "" : "\n";
    text += finding.text;
  }
  return text;
}

json::array warnings_of(const config::ParsedFile& file, const Among& among) {
  json::array out;
  for (const config::Parsed& parsed : file.objects) {
    for (analyze::Finding& finding : analyze::doubts(parsed, among.objects, among.settings)) {
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

}  // namespace

Result<Verdict> review(std::string_view admission_review, const std::optional<Among>& among) {
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
  if (object != nullptr && object->is_object() && (operation == "CREATE" || operation == "UPDATE")) {
    const config::ParsedFile file = config::parse_json("kubernetes", json::serialize(*object));
    verdict.why = mistakes_of(file);
    if (among && verdict.why.empty()) warnings = warnings_of(file, *among);
  }
  const auto* kind = asked.if_contains("kind");
  const std::string ns = text_at(asked, "namespace"), name = text_at(asked, "name");
  verdict.object = (kind != nullptr && kind->is_object() ? text_at(kind->as_object(), "kind") : "object") + " " +
                   (ns.empty() ? "" : ns + "/") + name;
  verdict.allowed = verdict.why.empty();
  verdict.answer = answer_to(uid, verdict.why, std::move(warnings));
  return verdict;
}

}  // namespace culvert::controlplane
