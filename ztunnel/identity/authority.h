#pragma once
// Asks the certificate authority for one identity's certificate, and checks what it sends (protocols.md §4.1).

#include <memory>

#include "common/base/identity.h"
#include "common/net/task.h"
#include "common/rpc/ca_client.h"
#include "ztunnel/identity/credentials.h"

namespace culvert::ztunnel {

// A new key and a request for it, signed by `ca`. The answer must be for this very identity, and bring roots.
net::Task<Result<CredentialsRef>> fetch_certificate(std::shared_ptr<rpc::CaClient> ca, Identity identity,
                                                    std::chrono::seconds lifetime);

// What an answer of the authority amounts to, given the key that was asked for. Pure.
Result<CredentialsRef> read_answer(const rpc::SignedChain& answer, const tls::PrivateKey& key, const Identity& identity);

}  // namespace culvert::ztunnel
