#include "common/model/service.h"

namespace culvert::model {

const ServicePort* Service::port(std::uint16_t service_port) const {
  for (const ServicePort& candidate : ports) {
    if (candidate.service_port == service_port) return &candidate;
  }
  return nullptr;
}

}  // namespace culvert::model
