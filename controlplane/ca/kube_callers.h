#pragma once
// Callers by service account tokens (protocols.md §4.2): each is shown to the API server in a TokenReview, for our audience. A token that is bound
// to a pod of ours tells the pod, and with it the node. Only the pods of trusted accounts (ztunnel's) may act for their node. The accounts of the
// system namespace may see the debug pages, also by a token that is bound to no pod (istioctl makes such), which is good for nothing else.
//
// An API server that cannot be asked has refused nobody: a token that it called good before counts until its own end, as long as its pod and its account
// are there as far as we know. A token that it has never seen is refused.
//
// Anybody can reach the port, so what a stranger can make us ask is bounded: a token has to look like one that is meant for us before the API server
// sees it, there is a limit to questions at one time, which addresses share by turns (ReviewQueue), and answers are remembered for a while, under the hash
// of the token.

#include <chrono>
#include <functional>
#include <memory>
#include <set>
#include <string>

#include "common/derive/objects.h"
#include "common/kube/client.h"
#include "common/rpc/server.h"
#include "common/telemetry/registry.h"
#include "controlplane/ca/callers.h"
#include "controlplane/ca/review_queue.h"

namespace culvert::controlplane {

struct KubeCallersOptions {
  std::function<std::string()> trust_domain = [] { return std::string("cluster.local"); };  // of now
  std::vector<std::string> audiences = {"istio-ca"};
  std::vector<std::string> trusted = {"istio-system/ztunnel"};  // "namespace/account"
  std::vector<std::string> authorities = {};                    // the same: CAs in front of us, see Caller::any
  std::string system_namespace = "istio-system";                // whose accounts may see the debug pages
  std::chrono::seconds remembered{60};                          // a good token
  std::chrono::seconds refused{10};                             // one that is not
  std::size_t most_of_one = 100;  // callers that wait for what is said of one token; a ztunnel asks for nine things at once
  ReviewQueue::Limits queue = {};
};

// What can be seen of a token without asking anybody. The signature is not looked at: this keeps rubbish away, and proves nothing.
struct TokenClaims {
  std::vector<std::string> audiences;
  std::chrono::sys_seconds expires{};
  std::string ns, pod, pod_uid, account, account_uid;  // what it is bound to, as far as it says
};
Result<TokenClaims> read_claims(std::string_view token);

// Is a token still good that once was? From what the API server invalidates tokens by: their end, their pod, their account. Pure.
Status still_good(const TokenClaims& claims, const derive::Objects& objects, std::chrono::system_clock::time_point now);

class KubeCallers final : public Callers {
 public:
  KubeCallers(kube::Client& client, const derive::Objects& objects, KubeCallersOptions options, telemetry::Registry& registry);
  ~KubeCallers() override;

  void prove(std::string_view authorization, const IpAddress& from, Then then) override;
  std::set<std::string> nodes() const override;
  std::set<std::string> ready_nodes() const override;

  // Of the `authorization` of a call that was proved: could it be proved now?
  bool still(std::string_view authorization) const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace culvert::controlplane
