#include "cli/verify/place.h"

#include <algorithm>
#include <string>

#include "cli/objects/objects.h"
#include "common/derive/label_query.h"

namespace culvert::cli::verify {
namespace {

namespace json = boost::json;

config::Labels labels_of(const json::value& object, std::string_view pointer) {
  config::Labels labels;
  const auto* found = at(object, pointer);
  if (found == nullptr || !found->is_object()) return labels;
  for (const auto& [key, value] : found->as_object())
    if (value.is_string()) labels.emplace(key, value.as_string());
  return labels;
}

// Gt and Lt are of no selector that we know of: such a term chooses nothing here, and so is told of rather than passed over.
derive::LabelQuery query_of(const json::array& expressions) {
  derive::LabelQuery query;
  for (const json::value& each : expressions) {
    derive::LabelQuery::Requirement one{.key = text_at(each, "/key"), .op = derive::label_operator(text_at(each, "/operator"))};
    for (const json::value& value : list_at(each, "/values"))
      if (value.is_string()) one.values.emplace_back(value.as_string());
    query.requirements.push_back(std::move(one));
  }
  return query;
}

}  // namespace

bool chooses(const json::value& workload, const json::value& node) {
  const config::Labels labels = labels_of(node, "/metadata/labels");
  const derive::LabelQuery selector{.labels = labels_of(workload, "/spec/template/spec/nodeSelector")};
  if (!selector.matches(labels)) return false;
  const auto& terms = list_at(workload,
                              "/spec/template/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/"
                              "nodeSelectorTerms");
  const config::Labels fields{{"metadata.name", text_at(node, "/metadata/name")}};
  return terms.empty() || std::ranges::any_of(terms, [&](const json::value& term) {
           return query_of(list_at(term, "/matchExpressions")).matches(labels) &&
                  query_of(list_at(term, "/matchFields")).matches(fields);
         });
}

bool is_virtual(const json::value& node) {
  return label_of(node, "type") == "virtual-kubelet" || label_of(node, "eks.amazonaws.com/compute-type") == "fargate";
}

}  // namespace culvert::cli::verify
