#include "common/model/baggage.h"

#include <algorithm>
#include <iterator>

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
  if (!workload.workload_name.empty()) add("k8s." + std::string(name(workload.type)) + ".name", workload.workload_name);
  add("service.name", workload.canonical_name);
  add("service.version", workload.canonical_revision);
  add("cloud.region", workload.locality.region);
  add("cloud.availability_zone", workload.locality.zone);
  return out;
}

namespace {

struct Field {
  std::string_view key;
  std::string Baggage::* value;
};
constexpr Field kFields[] = {{"k8s.cluster.name", &Baggage::cluster_id},
                             {"k8s.namespace.name", &Baggage::name_space},
                             {"service.name", &Baggage::canonical_name},
                             {"service.version", &Baggage::canonical_revision},
                             {"cloud.region", &Baggage::region},
                             {"cloud.availability_zone", &Baggage::zone},
                             {"k8s.deployment.name", &Baggage::workload_name},
                             {"k8s.cronjob.name", &Baggage::workload_name},
                             {"k8s.pod.name", &Baggage::workload_name},
                             {"k8s.job.name", &Baggage::workload_name}};

std::string_view trim(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t");
  return begin == text.npos ? std::string_view() : text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

// "k8s.pod.name" -> "pod"
std::string_view type_of(std::string_view key) { return key.substr(4, key.size() - 9); }

}  // namespace

Baggage Baggage::parse(std::string_view header) {
  Baggage out;
  while (!header.empty()) {
    const auto comma = header.find(',');
    const std::string_view member = header.substr(0, comma);
    header.remove_prefix(comma == header.npos ? header.size() : comma + 1);
    const auto equals = member.find('=');
    if (equals == member.npos) continue;
    const std::string_view value = trim(member.substr(equals + 1)).substr(0, kLongestValue);
    const auto* field = std::ranges::find(kFields, trim(member.substr(0, equals)), &Field::key);
    if (value.empty() || field == std::end(kFields)) continue;
    out.*field->value = value;
    if (field->value == &Baggage::workload_name) out.workload_type = type_of(field->key);
  }
  return out;
}

}  // namespace culvert::model
