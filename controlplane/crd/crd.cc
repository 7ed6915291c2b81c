#include "controlplane/crd/crd.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include <algorithm>

#include "proto/culvert/schema.pb.h"

namespace culvert::crd {
namespace {

namespace json = boost::json;
using google::protobuf::Descriptor;

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return text;
}

const culvert::Kind& said_of(const config::CustomKind& kind) { return kind.spec->options().GetExtension(culvert::kind); }

json::array words(const google::protobuf::RepeatedPtrField<std::string>& words) {
  return json::array(words.begin(), words.end());
}

json::object names_of(const config::CustomKind& kind) {
  json::object names{
      {"kind", kind.name}, {"listKind", kind.name + "List"}, {"plural", kind.plural}, {"singular", lower(kind.name)}};
  if (said_of(kind).short_names_size() > 0) names["shortNames"] = words(said_of(kind).short_names());
  if (said_of(kind).categories_size() > 0) names["categories"] = words(said_of(kind).categories());
  return names;
}

json::array columns_of(const config::CustomKind& kind) {
  json::array columns;
  for (const culvert::Kind::Column& column : said_of(kind).columns()) {
    columns.push_back(json::object{
        {"name", column.name()}, {"jsonPath", column.path()}, {"type", column.type().empty() ? "string" : column.type()}});
  }
  columns.push_back(json::object{{"name", "Age"}, {"jsonPath", ".metadata.creationTimestamp"}, {"type", "date"}});
  return columns;
}

json::object version_of(const config::CustomKind& kind, const std::string& version, const json::object& spec) {
  const std::string& stored = said_of(kind).stored().empty() ? kind.versions.front() : said_of(kind).stored();
  json::object schema{
      {"type", "object"},
      {"properties", json::object{{"spec", spec},
                                  {"status", json::object{{"type", "object"}, {"x-kubernetes-preserve-unknown-fields", true}}}}}};
  if (kind.spec_required) schema["required"] = json::array{"spec"};
  return {{"name", version},
          {"served", true},
          {"storage", version == stored},
          {"subresources", json::object{{"status", json::object{}}}},
          {"additionalPrinterColumns", columns_of(kind)},
          {"schema", json::object{{"openAPIV3Schema", std::move(schema)}}}};
}

// One paragraph, without the line breaks of the source.
std::string plain(const std::string& comment) {
  std::string out;
  for (const char c : comment) {
    const bool space = c == '\n' || c == ' ';
    if (!space) out += c;
    else if (!out.empty() && out.back() != ' ') out += ' ';
  }
  while (out.ends_with(' ')) out.pop_back();
  return out;
}

template <class Thing>
void keep(Comments& comments, const Thing& thing) {
  google::protobuf::SourceLocation place;
  if (!thing.GetSourceLocation(&place)) return;
  std::string text = plain(place.leading_comments);
  const std::string behind = plain(place.trailing_comments);
  if (!text.empty() && !behind.empty()) text += ' ';
  if (text += behind; !text.empty()) comments[thing.full_name()] = text;
}

void keep_all(Comments& comments, const Descriptor& message) {
  keep(comments, message);
  for (int i = 0; i < message.field_count(); ++i) keep(comments, *message.field(i));
  for (int i = 0; i < message.nested_type_count(); ++i) keep_all(comments, *message.nested_type(i));
}

}  // namespace

Comments read_comments(const std::string& descriptors) {
  Comments comments;
  google::protobuf::FileDescriptorSet set;
  if (!set.ParseFromString(descriptors)) return comments;
  google::protobuf::DescriptorPool pool;
  for (const auto& file : set.file()) {
    const google::protobuf::FileDescriptor* built = pool.BuildFile(file);
    if (built == nullptr || file.package().starts_with("google.")) continue;
    for (int i = 0; i < built->message_type_count(); ++i) keep_all(comments, *built->message_type(i));
  }
  return comments;
}

json::object definition_of(const config::CustomKind& kind, const Comments& comments) {
  json::object annotations{{"helm.sh/resource-policy", "keep"}};
  if (kind.group.ends_with(".k8s.io")) annotations["api-approved.kubernetes.io"] = "unapproved, Culvert's own schema of this API";
  json::array versions;
  const json::object spec = schema_of(*kind.spec, comments);
  for (const std::string& version : kind.versions) versions.push_back(version_of(kind, version, spec));
  return {{"apiVersion", "apiextensions.k8s.io/v1"},
          {"kind", "CustomResourceDefinition"},
          {"metadata", json::object{{"name", kind.plural + "." + kind.group},
                                    {"labels", json::object{{"app.kubernetes.io/part-of", "culvert"}}},
                                    {"annotations", std::move(annotations)}}},
          {"spec", json::object{{"group", kind.group},
                                {"names", names_of(kind)},
                                {"scope", said_of(kind).cluster_scoped() ? "Cluster" : "Namespaced"},
                                {"versions", std::move(versions)}}}};
}

std::string file_of(const config::CustomKind& kind) { return kind.group + "_" + kind.plural + ".yaml"; }

}  // namespace culvert::crd
