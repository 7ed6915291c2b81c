#pragma once
// What is known of one connection by the time it ends: the single source of its log line and its metrics.

#include <optional>
#include <string>

#include "common/base/address.h"
#include "common/base/identity.h"
#include "common/model/baggage.h"
#include "common/model/service.h"
#include "common/model/workload.h"

namespace culvert::ztunnel {

enum class Reporter : std::uint8_t { kSource, kDestination };  // outbound, inbound

struct Facts {
  Reporter reporter = Reporter::kSource;
  Endpoint source;
  Endpoint destination;               // as it was dialled; of an inbound tunnel its own address and port
  std::optional<Endpoint> tunnelled;  // what the tunnel was asked for
  model::WorkloadRef source_workload, destination_workload;
  model::ServiceRef service;
  std::optional<Identity> source_identity, destination_identity;  // proven by mutual TLS
  model::Baggage source_baggage;  // what a far source said of itself, used when its workload is not known here

  bool mutual_tls() const { return source_identity.has_value() || destination_identity.has_value(); }
};

}  // namespace culvert::ztunnel
