#pragma once
// Istio's traffic labels (protocols.md §6.9), in the order in which they are printed. Pure.

#include <string>
#include <string_view>

#include "ztunnel/record/facts.h"

namespace culvert::ztunnel {

// The label set of a connection around the one label that is known only at its end: before + response_flags="…" + after.
struct TrafficLabels {
  std::string before;  // `reporter="source",…,request_protocol="tcp"`
  std::string after;   // `connection_security_policy="mutual_tls",…`

  std::string with(std::string_view response_flags) const;
};
TrafficLabels traffic_labels(const Facts& facts);

// `name="value"` with the value escaped as the text format wants it; a comma in front unless `out` is empty.
void append_label(std::string& out, std::string_view name, std::string_view value);

}  // namespace culvert::ztunnel
