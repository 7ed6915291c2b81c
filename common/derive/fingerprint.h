#pragma once
// What is known again of a workload when it is derived anew, without keeping it: a hash over every field, with this process's own key. Two that differ
// have the same one time in 2^64, also when whoever writes objects would like them to.

#include <cstdint>

#include "common/model/workload.h"

namespace culvert::derive {

std::uint64_t fingerprint(const model::Workload& workload);

}  // namespace culvert::derive
