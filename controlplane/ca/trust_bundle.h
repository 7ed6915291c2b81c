#pragma once
// What data planes trust, as a ClusterTrustBundle (protocols.md §4.5), which pods can mount without a copy in each namespace. Only where the API server
// serves such objects, and only while we lead. Applied again now and then: that puts back what somebody changed. On the control thread.

#include <memory>
#include <string>

#include "common/kube/client.h"
#include "common/kube/leadership.h"
#include "common/telemetry/registry.h"

namespace culvert::controlplane {

// The object of that version of certificates.k8s.io. Pure.
std::string cluster_trust_bundle(const std::string& version, const std::string& roots_pem);

class TrustBundle {
 public:
  TrustBundle(kube::Client& client, std::string roots_pem, telemetry::Registry& registry);
  ~TrustBundle();
  TrustBundle(const TrustBundle&) = delete;
  TrustBundle& operator=(const TrustBundle&) = delete;

  void lead(kube::Leadership leading);
  void publish(std::string roots_pem);  // other roots

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace culvert::controlplane
