#pragma once
// Model values as text for golden files: YAML, only what is not the default, in a fixed order.

#include <string>

#include "common/derive/deriver.h"

namespace culvert::golden {

std::string print(const model::Workload& workload);
std::string print(const model::Service& service);
std::string print(const model::Policy& policy);

}  // namespace culvert::golden
