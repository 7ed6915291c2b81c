#pragma once
// What data planes trust, in the ConfigMap istio-ca-root-cert of every namespace of the mesh (protocols.md §4.5), where pods and proxies of others look for it.
// Only while we lead, and only what is not there already: one write a namespace, and one for each that somebody changes; where somebody else keeps
// writing another root (an istiod of another CA), we let him, and say so. On the control thread.

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "common/derive/objects.h"
#include "common/kube/client.h"
#include "common/kube/leadership.h"
#include "common/telemetry/registry.h"

namespace culvert::controlplane {

class RootPublisher {
 public:
  // The client and the objects must outlive it.
  using InMesh = std::function<bool(std::string_view name_space)>;
  RootPublisher(kube::Client& client, const derive::Objects& objects, InMesh in_mesh, std::string roots_pem,
                telemetry::Registry& registry);
  ~RootPublisher();
  RootPublisher(const RootPublisher&) = delete;
  RootPublisher& operator=(const RootPublisher&) = delete;

  void lead(kube::Leadership leading);
  void namespaces_changed();
  void publish(std::string roots_pem);  // other roots

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace culvert::controlplane
