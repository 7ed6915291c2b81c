#pragma once
// Asks the control plane to sign certificates: istio.v1.auth.IstioCertificateService (protocols.md §4.1).

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/net/loop.h"
#include "common/net/task.h"
#include "common/rpc/client.h"
#include "common/rpc/credentials.h"

namespace culvert::rpc {

struct CaOptions {
  std::string address{};  // "host:port" or "https://host:port"
  std::string name{};     // ALT_CA_HOSTNAME
  Credentials credentials{};
  std::chrono::milliseconds deadline{10000};  // of one call
};

struct SigningRequest {
  std::string csr_pem{};
  std::string identity{};  // the SPIFFE URI asked for on behalf of a pod; empty: the caller's own
  std::chrono::seconds lifetime{86400};
};

// What came back, as it came: PEM texts.
struct SignedChain {
  std::vector<std::string> certificates{};  // leaf first, then intermediates; never empty
  std::string roots{};                      // may hold several certificates; never empty
};

// Lives on one Loop; outlives the tasks it gave. Keeps one connection, made anew when the root file's content changes.
class CaClient {
 public:
  CaClient(net::Loop& loop, CaOptions options);
  ~CaClient();

  // One attempt; the caller repeats. Fails with kIdentityError. Destroying the task cancels the call.
  net::Task<Result<SignedChain>> sign(SigningRequest request);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace culvert::rpc
