#include "common/model/workload.h"

#include <algorithm>

namespace culvert::model {

std::string_view name(WorkloadType type) {
  switch (type) {
    case WorkloadType::kDeployment: return "deployment";
    case WorkloadType::kCronJob: return "cronjob";
    case WorkloadType::kPod: return "pod";
    case WorkloadType::kJob: return "job";
  }
  return "deployment";
}

Result<NetworkAddress> NetworkAddress::parse(std::string_view text) {
  const auto slash = text.rfind('/');
  if (slash == text.npos) return failure("\"" + std::string(text) + "\" is not network/address");
  auto address = IpAddress::parse(text.substr(slash + 1));
  if (!address) return std::unexpected(address.error());
  return NetworkAddress{std::string(text.substr(0, slash)), *address};
}

std::string NetworkAddress::text() const { return network + "/" + address.text(); }

Result<ServiceName> ServiceName::parse(std::string_view text) {
  const auto slash = text.find('/');
  if (slash == text.npos || slash == 0 || slash + 1 == text.size() || text.find('/', slash + 1) != text.npos) {
    return failure("\"" + std::string(text) + "\" is not namespace/hostname");
  }
  return ServiceName{std::string(text.substr(0, slash)), std::string(text.substr(slash + 1))};
}

std::string ServiceName::text() const { return name_space + "/" + hostname; }

std::string GatewayAddress::text() const {
  const std::string where = std::visit([](const auto& to) { return to.text(); }, destination);
  return where + ":" + std::to_string(hbone_port);
}

// What comes after the cluster may have been written by anybody: the address of a ServiceEntry's endpoint stands in its uid.
bool Workload::is_pod() const {
  const auto slash = uid.find('/');
  return slash != uid.npos && std::string_view(uid).substr(slash).starts_with("//Pod/");
}

bool Workload::owns(const IpAddress& address) const { return std::ranges::find(addresses, address) != addresses.end(); }

}  // namespace culvert::model
