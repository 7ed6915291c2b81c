#pragma once
// Between the model's workloads and what a tunnel says of them.

#include "common/hbone/request.h"
#include "common/model/baggage.h"
#include "common/model/workload.h"

namespace culvert::ztunnel {

inline hbone::Baggage baggage_of(const model::Workload& workload) {
  return {.cluster = workload.cluster_id,
          .name_space = workload.name_space,
          .workload_type = std::string(model::name(workload.type)),
          .workload_name = workload.workload_name,
          .service = workload.canonical_name,
          .revision = workload.canonical_revision,
          .region = workload.locality.region,
          .zone = workload.locality.zone};
}

inline model::Baggage said(const hbone::Baggage& baggage) {
  return {.cluster_id = baggage.cluster,
          .name_space = baggage.name_space,
          .workload_name = baggage.workload_name,
          .workload_type = baggage.workload_type,
          .canonical_name = baggage.service,
          .canonical_revision = baggage.revision,
          .region = baggage.region,
          .zone = baggage.zone};
}

}  // namespace culvert::ztunnel
