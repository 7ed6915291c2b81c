#pragma once
// Asking the API server who somebody is, and what we may do. The JSON of it; ask with Client::call().
//
//   auto answer = co_await client.call(kube::review_token(token, {"istio-ca"}));
//   auto user = answer.and_then([](const auto& a) { return kube::reviewed_token(a.body, {"istio-ca"}); });

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/kube/request.h"

namespace culvert::kube {

// Whose token it is. Of a pod's token also which pod and node it was made for.
struct User {
  std::string name;  // "system:serviceaccount:shop:web"
  std::string uid;
  std::vector<std::string> groups;
  std::string pod_name = {};
  std::string pod_uid = {};
  std::string node_name = {};

  struct Account {
    std::string ns;
    std::string name;
  };
  std::optional<Account> service_account() const;  // none when it is somebody else
};

// POST authentication.k8s.io/v1 tokenreviews. The token has to be meant for one of `audiences`; none: for the API server.
Request review_token(std::string_view token, const std::vector<std::string>& audiences);
// Fails when the token is not good, with the server's reason; also when the server did not look at the audiences that were asked for.
Result<User> reviewed_token(std::string_view answer, const std::vector<std::string>& audiences);

// POST authorization.k8s.io/v1 selfsubjectaccessreviews: may we do this?
Request review_access(std::string_view verb, const Place& at);
struct Verdict {
  bool allowed = false;
  std::string why;  // as far as the server says
};
Result<Verdict> reviewed_access(std::string_view answer);

}  // namespace culvert::kube
