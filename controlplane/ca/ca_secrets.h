#pragma once
// The CA in Secrets, followed: what its owner changes is taken up, and a root that is ours is replaced before it ends, by the leader. Changes are
// watched by the Secrets' metadata; keys are read when there is a change, and nowhere kept. On the control thread.

#include <functional>
#include <memory>
#include <string>

#include "common/kube/client.h"
#include "common/kube/leadership.h"
#include "controlplane/ca/root.h"
#include "controlplane/ca/trust_domain.h"

namespace culvert::controlplane {

class CaSecrets {
 public:
  struct Options {
    std::string ns;
    AskTrustDomain trust_domain;
    RotationPolicy rotation = {};
  };

  // Begins at once. `changed` is told what is there now, each time that it may be another. The client must outlive it.
  CaSecrets(kube::Client& client, Options options, std::function<void(Ca)> changed);
  ~CaSecrets();
  CaSecrets(const CaSecrets&) = delete;
  CaSecrets& operator=(const CaSecrets&) = delete;

  void lead(kube::Leadership leading);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace culvert::controlplane
