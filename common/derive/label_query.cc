#include "common/derive/label_query.h"

#include <algorithm>

namespace culvert::derive {
namespace {

bool holds(const LabelQuery::Requirement& requirement, const config::Labels& subject) {
  using enum LabelQuery::Operator;
  const auto found = subject.find(requirement.key);
  const bool there = found != subject.end();
  const bool among = there && std::ranges::contains(requirement.values, found->second);
  switch (requirement.op) {
    case kIn: return among;
    case kNotIn: return !among;
    case kExists: return there;
    case kDoesNotExist: return !there;
    case kUnknown: return false;
  }
  return false;
}

}  // namespace

bool LabelQuery::matches(const config::Labels& subject) const {
  return config::selects(labels, subject) &&
         std::ranges::all_of(requirements, [&](const Requirement& one) { return holds(one, subject); });
}

LabelQuery::Operator label_operator(std::string_view word) {
  using enum LabelQuery::Operator;
  if (word == "In") return kIn;
  if (word == "NotIn") return kNotIn;
  if (word == "Exists") return kExists;
  return word == "DoesNotExist" ? kDoesNotExist : kUnknown;
}

}  // namespace culvert::derive
