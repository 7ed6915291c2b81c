#pragma once
// Where the API server is, and how we prove to it who we are. Of one thread. Secrets never get into a log, an error or an argument.
//
// What is in a file is read again when the file changes, and at the latest every minute: tokens and certificates are renewed under our
// feet. A file that cannot be read later leaves in force what was read before. Errors name file, field and what to do.

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "common/base/result.h"
#include "common/net/task.h"
#include "common/tls/session.h"

namespace culvert::net {
class Loop;
}

namespace culvert::kube {

struct Server {
  std::string host = {};  // a name or an address, without brackets
  std::uint16_t port = 443;
  std::string tls_name = {};  // what its certificate has to be for
  std::string prefix = {};    // of every path: "", "/k8s/clusters/c-1"

  std::string authority() const;  // "host:port", as the Host header wants it
};

struct Proof {
  tls::Context tls;              // trusts the server's roots; has our certificate, when we have one
  std::string token;             // empty: none
  std::uint64_t generation = 0;  // of `tls`: connections of an older one are not used again
};

// Where a pod finds what the kubelet gave it.
struct InCluster {
  std::string folder = "/var/run/secrets/kubernetes.io/serviceaccount";
  std::string host = {};  // default: $KUBERNETES_SERVICE_HOST
  std::string port = {};  // default: $KUBERNETES_SERVICE_PORT
};

class Access {
 public:
  // As a pod. Fails when this is none.
  static Result<Access> in_cluster(const InCluster& where = {});
  // As kubectl: `path`, or the files of $KUBECONFIG, or ~/.kube/config; `context`, or the current one.
  // Refused, with the reason: plain HTTP, insecure-skip-tls-verify, proxy-url, user names with passwords, auth-provider, impersonation.
  static Result<Access> from_kubeconfig(const std::string& path = {}, const std::string& context = {});
  // As a program with the settings --kubeconfig, --context and --config-dir is told to: as kubectl when there is a kubeconfig, else as a pod.
  static Result<Access> configured(const std::string& kubeconfig, const std::string& context);

  Access(Access&&) noexcept;
  Access& operator=(Access&&) noexcept;
  ~Access();

  const Server& server() const;
  // The namespace of the context, or of the pod; empty when it says none.
  const std::string& default_namespace() const;

  // As it is now. May run the credential plugin of a kubeconfig, which takes its time.
  net::Task<Result<Proof>> proof(net::Loop& loop);
  // The server answered 401: the next proof() reads everything anew.
  void refused();

  struct State;  // this folder's

 private:
  explicit Access(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace culvert::kube
