#include "ztunnel/record/labels.h"

namespace culvert::ztunnel {
namespace {

std::string_view or_unknown(std::string_view value) { return value.empty() ? "unknown" : value; }

// One end of the connection, from its workload or else from what it said of itself.
struct End {
  std::string_view workload, name, revision, name_space, cluster, region, zone;
  std::string principal;
};

End end_of(const model::WorkloadRef& workload, const model::Baggage* said, const std::optional<Identity>& identity) {
  End end;
  if (workload) {
    end = {workload->workload_name, workload->canonical_name,  workload->canonical_revision, workload->name_space,
           workload->cluster_id,    workload->locality.region, workload->locality.zone,      {}};
  } else if (said != nullptr) {
    end = {said->workload_name,
           said->canonical_name,
           said->canonical_revision,
           said->name_space,
           said->cluster_id,
           said->region,
           said->zone,
           {}};
    if (end.name_space.empty() && identity) end.name_space = identity->name_space;
  }
  if (identity) end.principal = identity->uri();
  return end;
}

void append_end(std::string& out, std::string_view side, const End& end) {
  const auto put = [&](std::string_view name, std::string_view value) {
    append_label(out, std::string(side).append(name), or_unknown(value));
  };
  put("_workload", end.workload);
  put("_canonical_service", end.name);
  put("_canonical_revision", end.revision);
  put("_workload_namespace", end.name_space);
  put("_principal", end.principal);
  put("_app", end.name);
  put("_version", end.revision);
  put("_cluster", end.cluster);
}

void append_place(std::string& out, std::string_view side, const End& end) {
  if (!end.region.empty()) append_label(out, std::string(side).append("_region"), end.region);
  if (!end.zone.empty()) append_label(out, std::string(side).append("_zone"), end.zone);
}

}  // namespace

void append_label(std::string& out, std::string_view name, std::string_view value) {
  if (!out.empty()) out += ',';
  out.append(name).append("=\"");
  for (const char c : value) {
    if (c == '\n') out += "\\n";
    else if (c == '"' || c == '\\') out.append(1, '\\').append(1, c);
    else out += c;
  }
  out += '"';
}

TrafficLabels traffic_labels(const Facts& facts) {
  const End source = end_of(facts.source_workload, &facts.source_baggage, facts.source_identity);
  const End destination = end_of(facts.destination_workload, nullptr, facts.destination_identity);
  TrafficLabels out;
  out.before.reserve(1024);
  append_label(out.before, "reporter", facts.reporter == Reporter::kSource ? "source" : "destination");
  append_end(out.before, "source", source);
  append_label(out.before, "destination_service", facts.service ? or_unknown(facts.service->hostname) : "unknown");
  append_label(out.before, "destination_service_namespace", facts.service ? or_unknown(facts.service->name_space) : "unknown");
  append_label(out.before, "destination_service_name", facts.service ? or_unknown(facts.service->name) : "unknown");
  append_end(out.before, "destination", destination);
  append_label(out.before, "request_protocol", "tcp");
  append_label(out.after, "connection_security_policy", facts.mutual_tls() ? "mutual_tls" : "unknown");
  append_place(out.after, "source", source);
  append_place(out.after, "destination", destination);
  return out;
}

std::string TrafficLabels::with(std::string_view response_flags) const {
  std::string out = before;
  append_label(out, "response_flags", response_flags);
  return out.append(",").append(after);
}

}  // namespace culvert::ztunnel
