#pragma once
// A signer of the Kubernetes API signs (K8S_SIGNER): each certificate is a CertificateSigningRequest that we make, approve, wait for and delete. What the
// signer's certificates chain to is in a file, since the API does not say. On the control thread.

#include <memory>
#include <string>

#include "common/kube/client.h"
#include "controlplane/ca/signer.h"

namespace culvert::controlplane {

// The object to make. Pure. A signer may refuse usages that it does not grant; those of Kubernetes' own for clients grant no serverAuth.
std::string signing_request(const std::string& name, const std::string& signer, const LeafRequest& request);

// How such an object stands. Pure.
struct SigningState {
  std::string certificate;  // PEM chain, once it is signed
  std::string refused;      // who denied it, or failed, and why
};
Result<SigningState> read_signing_state(std::string_view object);

class KubeSigner final : public Signer {
 public:
  struct Options {
    std::string signer;                                    // "example.com/mesh"
    std::string roots;                                     // file; read for each certificate, so that it may change
    std::chrono::milliseconds patience{8'000};             // ztunnel waits for ten seconds
    std::chrono::milliseconds first_look{50}, looks{500};  // for the certificate: the pause grows from one to the other
  };
  KubeSigner(kube::Client& client, Options options) : client_(client), options_(std::move(options)) {}
  net::Task<Result<SignedLeaf>> sign(LeafRequest request) override;

 private:
  net::Task<Status> approve(std::string object);
  net::Task<Result<std::string>> await_certificate(std::string name);
  net::Task<Result<std::string>> ask(std::string name, std::string object);

  kube::Client& client_;
  const Options options_;
};

}  // namespace culvert::controlplane
