#include "common/model/baggage.h"

#include <utility>

namespace culvert::model {

std::string baggage(const Workload& workload) {
  std::string out;
  const auto add = [&](std::string_view key, std::string_view value) {
    if (value.empty()) return;
    if (!out.empty()) out += ',';
    out.append(key).append("=").append(value);
  };
  add("k8s.cluster.name", workload.cluster_id);
  add("k8s.namespace.name", workload.name_space);
  add("k8s." + std::string(name(workload.type)) + ".name", workload.workload_name);
  add("service.name", workload.canonical_name);
  add("service.version", workload.canonical_revision);
  add("cloud.region", workload.locality.region);
  add("cloud.availability_zone", workload.locality.zone);
  return out;
}

void Baggage::add(std::string_view header) {
  const std::pair<std::string_view, std::string*> fields[] = {
      {"k8s.cluster.name", &cluster_id},        {"k8s.namespace.name", &name_space}, {"service.name", &canonical_name},
      {"service.version", &canonical_revision}, {"cloud.region", &region},           {"cloud.availability_zone", &zone}};
  while (!header.empty()) {
    const auto comma = header.find(',');
    const std::string_view member = header.substr(0, comma);
    header.remove_prefix(comma == header.npos ? header.size() : comma + 1);
    const auto equals = member.find('=');
    if (equals == member.npos) continue;
    const std::string_view key = member.substr(0, equals);
    const std::string_view value = member.substr(equals + 1);
    for (const auto& [name, field] : fields) {
      if (key == name) *field = value;
    }
    for (const std::string_view type : {"deployment", "cronjob", "pod", "job"}) {
      if (key != "k8s." + std::string(type) + ".name") continue;
      workload_name = value;
      workload_type = value.empty() ? "" : type;
    }
  }
}

}  // namespace culvert::model
