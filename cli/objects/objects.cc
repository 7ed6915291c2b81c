#include "cli/objects/objects.h"

#include <optional>
#include <utility>

#include "common/kube/request.h"
#include "common/kube/review.h"

namespace culvert::cli {
namespace {

namespace json = boost::json;

constexpr const char* kPage = "500";

Result<json::value> parsed(const kube::Request& request, std::string_view body) {
  boost::system::error_code error;
  json::value value = json::parse(body, error);
  if (error) return failure(request.text() + ": the answer is no JSON");
  return value;
}

std::string member_of(const json::value& object, std::string_view where, std::string_view name) {
  const auto* all = at(object, where);
  const auto* found = all != nullptr && all->is_object() ? all->as_object().if_contains(name) : nullptr;
  return found != nullptr && found->is_string() ? std::string(found->as_string()) : "";
}

// Nothing when the server does not know the kind in that version.
net::Task<Result<std::optional<json::array>>> list_all(kube::Client& client, kube::Place at, kube::Query query, bool metadata) {
  json::array all;
  std::string next;
  do {
    kube::Query asked = query;
    asked.emplace_back("limit", kPage);
    if (!next.empty()) asked.emplace_back("continue", next);
    kube::Request request = kube::list(at, std::move(asked));
    request.metadata = metadata;
    const auto answer = co_await client.exchange(request);
    if (!answer) co_return std::unexpected(answer.error());
    if (answer->status == kube::kNotFound) co_return std::nullopt;
    if (!kube::is_success(answer->status)) co_return std::unexpected(kube::refusal(request, answer->status, answer->body));
    auto value = parsed(request, answer->body);
    if (!value) co_return std::unexpected(value.error());
    for (const json::value& item : list_at(*value, "/items")) all.push_back(item);
    next = text_at(*value, "/metadata/continue");
  } while (!next.empty());
  co_return all;
}

}  // namespace

net::Task<Result<json::value>> find_object(kube::Client& client, kube::Place at) {
  const kube::Request request = kube::get(std::move(at));
  const auto answer = co_await client.exchange(request);
  if (!answer) co_return std::unexpected(answer.error());
  if (answer->status == kube::kNotFound) co_return json::value(nullptr);
  if (!kube::is_success(answer->status)) co_return std::unexpected(kube::refusal(request, answer->status, answer->body));
  co_return parsed(request, answer->body);
}

net::Task<Result<json::array>> find_all(kube::Client& client, kube::Place at, kube::Query query, bool metadata) {
  auto found = co_await list_all(client, std::move(at), std::move(query), metadata);
  if (!found) co_return std::unexpected(std::move(found).error());
  co_return std::move(*found).value_or(json::array());
}

net::Task<Result<json::array>> find_all_in(kube::Client& client, kube::Place at, std::vector<std::string> versions,
                                           kube::Query query) {
  for (std::string& version : versions) {
    at.of.version = std::move(version);
    auto found = co_await list_all(client, at, query, false);
    if (!found) co_return std::unexpected(std::move(found).error());
    if (*found) co_return **std::move(found);
  }
  co_return json::array();
}

net::Task<Result<bool>> erase(kube::Client& client, kube::Place at) {
  const kube::Request request = kube::remove(std::move(at));
  const auto answer = co_await client.exchange(request);
  if (!answer) co_return std::unexpected(answer.error());
  if (answer->status == kube::kNotFound) co_return false;
  if (!kube::is_success(answer->status)) co_return std::unexpected(kube::refusal(request, answer->status, answer->body));
  co_return true;
}

net::Task<Result<bool>> may(kube::Client& client, std::string verb, kube::Place at) {
  const auto answer = co_await client.call(kube::review_access(verb, at));
  if (!answer) co_return std::unexpected(answer.error());
  co_return kube::reviewed_access(answer->body).transform([](const kube::Verdict& verdict) { return verdict.allowed; });
}

const json::value* at(const json::value& in, std::string_view pointer) {
  boost::system::error_code error;
  return in.find_pointer(pointer, error);
}

std::string text_at(const json::value& in, std::string_view pointer) {
  const auto* found = at(in, pointer);
  return found != nullptr && found->is_string() ? std::string(found->as_string()) : "";
}

std::int64_t number_at(const json::value& in, std::string_view pointer) {
  const auto* found = at(in, pointer);
  return found != nullptr && found->is_int64() ? found->as_int64() : 0;
}

bool flag_at(const json::value& in, std::string_view pointer) {
  const auto* found = at(in, pointer);
  return found != nullptr && found->is_bool() && found->as_bool();
}

const json::array& list_at(const json::value& in, std::string_view pointer) {
  static const json::array kNone;
  const auto* found = at(in, pointer);
  return found != nullptr && found->is_array() ? found->as_array() : kNone;
}

std::string label_of(const json::value& object, std::string_view name) { return member_of(object, "/metadata/labels", name); }

std::string annotation_of(const json::value& object, std::string_view name) {
  return member_of(object, "/metadata/annotations", name);
}

std::string name_of(const json::value& object) {
  const std::string ns = text_at(object, "/metadata/namespace"), name = text_at(object, "/metadata/name");
  return ns.empty() ? name : ns + "/" + name;
}

}  // namespace culvert::cli
