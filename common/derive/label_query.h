#pragma once
// A LabelSelector of Kubernetes: pairs, and expressions about labels. Pure.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/config/object.h"

namespace culvert::derive {

struct LabelQuery {
  enum class Operator : std::uint8_t { kIn, kNotIn, kExists, kDoesNotExist, kUnknown };
  struct Requirement {
    std::string key{};
    Operator op = Operator::kUnknown;
    std::vector<std::string> values{};

    friend bool operator==(const Requirement&, const Requirement&) = default;
  };
  config::Labels labels{};
  std::vector<Requirement> requirements{};

  // All of them hold; an empty query holds for everything. One with an operator that Kubernetes does not have holds for nothing.
  bool matches(const config::Labels& subject) const;

  friend bool operator==(const LabelQuery&, const LabelQuery&) = default;
};

LabelQuery::Operator label_operator(std::string_view word);  // "In", "NotIn", "Exists", "DoesNotExist"

}  // namespace culvert::derive
