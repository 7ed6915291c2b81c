#pragma once
// What culvertd keeps of the objects of an API server: of a pod, of which there may be a hundred thousand, and of an EndpointSlice that names it only what
// something is derived from, and what it has in common with others of its kind once. On the control thread.

#include <vector>

#include "common/config/object.h"

namespace culvert::controlplane {

class Keep {
 public:
  config::ObjectPtr operator()(config::ObjectPtr object);

 private:
  config::ObjectPtr without_pods_own(const config::EndpointSlice& slice);
  config::Shared<config::Labels> shared(const config::Labels& labels);

  config::Pool<config::Labels> labels_;
  config::Pool<std::vector<config::OwnerReference>> owners_;
  config::Pool<std::vector<config::Container>> containers_;
};

}  // namespace culvert::controlplane
