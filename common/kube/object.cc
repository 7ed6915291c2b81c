#include "common/kube/object.h"

#include <algorithm>
#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cstdint>
#include <limits>

#include "common/kube/json.h"
#include "common/kube/splitter.h"

namespace culvert::kube {
namespace {

namespace json = boost::json;
using Piece = Splitter::Piece;

constexpr std::size_t kMaxDepth = 100;

// Listens to a parse and keeps nothing.
struct Nothing {
  static constexpr std::size_t max_object_size = std::numeric_limits<std::size_t>::max();
  static constexpr std::size_t max_array_size = max_object_size;
  static constexpr std::size_t max_key_size = max_object_size;
  static constexpr std::size_t max_string_size = max_object_size;
  using Failed = boost::system::error_code;

  static bool on_document_begin(Failed&) { return true; }
  static bool on_document_end(Failed&) { return true; }
  static bool on_object_begin(Failed&) { return true; }
  static bool on_object_end(std::size_t, Failed&) { return true; }
  static bool on_array_begin(Failed&) { return true; }
  static bool on_array_end(std::size_t, Failed&) { return true; }
  static bool on_key_part(json::string_view, std::size_t, Failed&) { return true; }
  static bool on_key(json::string_view, std::size_t, Failed&) { return true; }
  static bool on_string_part(json::string_view, std::size_t, Failed&) { return true; }
  static bool on_string(json::string_view, std::size_t, Failed&) { return true; }
  static bool on_number_part(json::string_view, Failed&) { return true; }
  static bool on_int64(std::int64_t, json::string_view, Failed&) { return true; }
  static bool on_uint64(std::uint64_t, json::string_view, Failed&) { return true; }
  static bool on_double(double, json::string_view, Failed&) { return true; }
  static bool on_bool(bool, Failed&) { return true; }
  static bool on_null(Failed&) { return true; }
  static bool on_comment_part(json::string_view, Failed&) { return true; }
  static bool on_comment(json::string_view, Failed&) { return true; }
};

// Calls `member` with each member of an object, also with the one in whose middle the text ends.
template <class Member>
void each_member(std::string_view object, const Member& member) {
  Splitter splitter("", {.value = object.size() + 1, .depth = kMaxDepth});
  std::ignore = splitter.feed(object, [&](const Piece& piece) {
    if (piece.kind == Piece::kMember) member(piece.name, piece.text);
  });
  if (const auto name = splitter.unfinished_name(); !name.empty()) member(name, splitter.unfinished_text());
}

void read_metadata(std::string_view text, Meta& meta) {
  each_member(text, [&](std::string_view name, std::string_view value) {
    if (name == "namespace") meta.key.ns = string_of(value);
    else if (name == "name") meta.key.name = string_of(value);
    else if (name == "uid") meta.uid = string_of(value);
    else if (name == "resourceVersion") meta.resource_version = string_of(value);
    else if (name == "continue") meta.next = string_of(value);
    else if (name == "annotations" && value.contains("k8s.io/initial-events-end"))
      each_member(value, [&](std::string_view key, std::string_view said) {
        if (key == "k8s.io/initial-events-end") meta.initial_events_end = said == "\"true\"";
      });
  });
}

}  // namespace

Meta meta_of(std::string_view object) {
  Meta meta;
  each_member(object, [&](std::string_view name, std::string_view value) {
    if (name == "apiVersion") meta.api_version = string_of(value);
    else if (name == "kind") meta.kind = string_of(value);
    else if (name == "metadata") read_metadata(value, meta);
  });
  return meta;
}

std::string member_of(std::string_view object, std::initializer_list<std::string_view> names) {
  std::string at(object);
  for (const std::string_view wanted : names) {
    std::string found;
    each_member(at, [&](std::string_view name, std::string_view value) {
      if (name == wanted) found = value;
    });
    at = std::move(found);
  }
  return at;
}

Status check_json(std::string_view text) {
  json::parse_options options;
  options.max_depth = kMaxDepth;
  json::basic_parser<Nothing> parser(options);
  boost::system::error_code failed;
  const std::size_t read = parser.write_some(false, text.data(), text.size(), failed);
  if (!failed && read < text.size()) failed = json::error::extra_data;
  if (failed) return failure("JSON: " + failed.message() + " at byte " + std::to_string(read));
  return {};
}

std::string string_of(std::string_view text) {
  if (text.size() < 2 || text.front() != '"') return {};
  boost::system::error_code failed;
  const json::value value = json::parse(text, failed);
  return !failed && value.is_string() ? std::string(value.as_string()) : std::string();
}

std::string quoted(std::string_view text) { return json::serialize(json::string(text)); }

bool is_managed_by(std::string_view object, std::string_view manager) {
  boost::system::error_code failed;
  const json::value value = json::parse(object, failed);
  const auto* fields = failed ? nullptr : value.find_pointer("/metadata/managedFields", failed);
  if (fields == nullptr || !fields->is_array()) return false;
  return std::ranges::any_of(fields->as_array(), [&](const json::value& each) {
    return each.is_object() && text_at(each.as_object(), "manager").starts_with(manager);
  });
}

Explanation explanation_of(std::string_view status_object) {
  boost::system::error_code failed;
  const json::value value = json::parse(status_object, failed);
  if (failed || !value.is_object()) return {};
  const json::object& status = value.as_object();
  if (text_at(status, "kind") != "Status") return {};
  Explanation said{.code = number_at(status, "code"), .reason = text_at(status, "reason"), .message = text_at(status, "message")};
  if (const auto* details = status.if_contains("details"); details != nullptr && details->is_object())
    said.retry_after = number_at(details->as_object(), "retryAfterSeconds");
  return said;
}

std::string with_kind(std::string_view object, const Meta& meta, std::string_view api_version, std::string_view kind) {
  std::string front = "{";
  if (meta.api_version.empty() && !api_version.empty()) front.append("\"apiVersion\":").append(quoted(api_version)).append(",");
  if (meta.kind.empty() && !kind.empty()) front.append("\"kind\":").append(quoted(kind)).append(",");
  if (front.size() == 1 || meta.key.name.empty()) return std::string(object);
  return front.append(object.substr(1));  // there is a member behind the comma: metadata
}

}  // namespace culvert::kube
