#pragma once
// How the API server is told to ask us: the ValidatingWebhookConfiguration `culvert-validator`, with the roots that our certificate chains to. Written by
// the leader, again when it is not what it should be. On the control thread.

#include <memory>
#include <string>

#include "common/kube/client.h"
#include "common/kube/leadership.h"

namespace culvert::controlplane {

struct WebhookAddress {
  std::string url = {};  // of us, when the API server has to reach us by that; else a Service:
  std::string service = "culvertd";
  std::string ns = "istio-system";
};

// The whole object, as it should be. Pure.
std::string webhook_configuration(const WebhookAddress& address, const std::string& roots_pem);

class WebhookRegistration {
 public:
  WebhookRegistration(kube::Client& client, WebhookAddress address, const std::string& roots_pem);
  ~WebhookRegistration();
  WebhookRegistration(const WebhookRegistration&) = delete;
  WebhookRegistration& operator=(const WebhookRegistration&) = delete;

  void lead(kube::Leadership leading);
  void publish(const std::string& roots_pem);  // other roots

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace culvert::controlplane
