#include "common/tls/context.h"

#include <openssl/err.h>

#include "common/tls/verify.h"

namespace culvert::tls {
namespace {

// AES-128 first: half the rounds fewer than AES-256, and as strong as the rest. No ChaCha: Istio's peers do not take it.
constexpr const char* kCiphers = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384";
// Offered with two key shares, so that a peer without ML-KEM needs no second round. A server that put ML-KEM into a tuple of its own
// would ask for one from every client that knows it but sent only X25519 (Istio's): one tuple, our order among the shares that came.
constexpr const char* kClientGroups = "*X25519MLKEM768:*X25519:P-256:P-384";
constexpr const char* kServerGroups = "X25519MLKEM768:X25519:P-256:P-384";

// Bytes of certificates that anybody may show, verified or not, and have us keep.
constexpr long kMostShown = 16 << 10;

std::string alpn_wire(const std::vector<std::string>& names) {
  std::string wire;
  for (const std::string& name : names) wire.append(1, static_cast<char>(name.size())).append(name);
  return wire;
}

// The first of ours that the client offers; nothing in common ends the handshake (RFC 7301).
int select_alpn(SSL* ssl, const unsigned char** out, unsigned char* out_size, const unsigned char* offered, unsigned offered_size,
                void* ours) {
  std::ignore = ssl;
  const auto& wire = *static_cast<const std::string*>(ours);
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_size, reinterpret_cast<const unsigned char*>(wire.data()),
                            static_cast<unsigned>(wire.size()), offered, offered_size) != OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

bool set_common(SSL_CTX* ctx, int least_version) {
  SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  return SSL_CTX_set_min_proto_version(ctx, least_version) == 1 && SSL_CTX_set_num_tickets(ctx, 0) == 1;
}

bool set_mesh(SSL_CTX* ctx, const char* groups) {
  return SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) == 1 && SSL_CTX_set_ciphersuites(ctx, kCiphers) == 1 &&
         SSL_CTX_set1_groups_list(ctx, groups) == 1;
}

bool set_own(SSL_CTX* ctx, const KeyPair& own) {
  if (SSL_CTX_use_certificate(ctx, own.leaf().native()) != 1 || SSL_CTX_use_PrivateKey(ctx, own.key().native()) != 1)
    return false;
  for (std::size_t i = 1; i < own.chain().size(); ++i)
    if (SSL_CTX_add1_chain_cert(ctx, own.chain()[i].native()) != 1) return false;
  SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN);  // send what we were given, do not search for more
  return true;
}

bool set_roots(SSL_CTX* ctx, const Roots& roots) {
  X509_STORE* store = SSL_CTX_get_cert_store(ctx);
  for (const Certificate& root : roots.certificates())
    if (X509_STORE_add_cert(store, root.native()) != 1) return false;
  // Whatever was given as a root is trusted, also when it is not self-signed.
  return X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_PARTIAL_CHAIN) == 1;
}

bool offer_alpn(SSL_CTX* ctx, const std::string& wire) {
  return wire.empty() || SSL_CTX_set_alpn_protos(ctx, reinterpret_cast<const unsigned char*>(wire.data()),
                                                 static_cast<unsigned>(wire.size())) == 0;
}

CtxPtr mesh_client_ctx(const KeyPair& own, const Roots& roots, const std::string& alpn) {
  CtxPtr ctx(SSL_CTX_new(TLS_client_method()));
  const bool made = ctx && set_common(ctx.get(), TLS1_3_VERSION) && set_mesh(ctx.get(), kClientGroups) &&
                    set_own(ctx.get(), own) && set_roots(ctx.get(), roots) && offer_alpn(ctx.get(), alpn);
  if (!made) return nullptr;
  SSL_CTX_set_verify(ctx.get(), SSL_VERIFY_PEER, verify_peer);
  return ctx;
}

CtxPtr mesh_server_ctx(const KeyPair& own, const Roots& roots, std::string& alpn) {
  CtxPtr ctx(SSL_CTX_new(TLS_server_method()));
  const bool made = ctx && set_common(ctx.get(), TLS1_3_VERSION) && set_mesh(ctx.get(), kServerGroups) &&
                    set_own(ctx.get(), own) && set_roots(ctx.get(), roots);
  if (!made) return nullptr;
  SSL_CTX_set_verify(ctx.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, verify_peer);
  SSL_CTX_set_alpn_select_cb(ctx.get(), select_alpn, &alpn);
  return ctx;
}

}  // namespace

Result<Context> Context::mesh(const KeyPair& own, const Roots& roots) {
  ERR_clear_error();
  auto core = std::make_shared<Core>();
  core->mesh = true;
  core->alpn = alpn_wire({"h2"});
  core->identity = own.leaf().identity();
  if (!core->identity)
    return failure("a mesh certificate without a SPIFFE identity: " + own.leaf().subject(), Reason::kIdentityError);
  core->client = mesh_client_ctx(own, roots, core->alpn);
  if (core->client) core->server = mesh_server_ctx(own, roots, core->alpn);
  if (!core->server) return openssl_failure("preparing TLS for " + core->identity->uri());
  return Context(std::move(core));
}

Result<Context> Context::server(const KeyPair& own, const std::vector<std::string>& alpn, const std::optional<Roots>& clients) {
  ERR_clear_error();
  auto core = std::make_shared<Core>();
  core->alpn = alpn_wire(alpn);
  core->identity = own.leaf().identity();
  core->server.reset(SSL_CTX_new(TLS_server_method()));
  if (!core->server || !set_common(core->server.get(), TLS1_3_VERSION) || !set_own(core->server.get(), own))
    return openssl_failure("preparing a TLS server");
  if (clients) {
    if (!set_roots(core->server.get(), *clients)) return openssl_failure("preparing a TLS server");
    SSL_CTX_set_verify(core->server.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, verify_peer);
  }
  if (!core->alpn.empty()) SSL_CTX_set_alpn_select_cb(core->server.get(), select_alpn, &core->alpn);
  return Context(std::move(core));
}

Result<Context> Context::asking_server(const KeyPair& own, const std::vector<std::string>& alpn) {
  auto context = server(own, alpn);
  if (!context) return context;
  SSL_CTX* const ctx = context->core_->server.get();
  SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_max_cert_list(ctx, kMostShown);
  SSL_CTX_set_cert_verify_callback(ctx, [](X509_STORE_CTX*, void*) { return 1; }, nullptr);
  return context;
}

Result<Context> Context::client(const Roots& roots, std::optional<KeyPair> own, const std::vector<std::string>& alpn) {
  ERR_clear_error();
  auto core = std::make_shared<Core>();
  core->client.reset(SSL_CTX_new(TLS_client_method()));
  SSL_CTX* ctx = core->client.get();
  if (ctx == nullptr || !set_common(ctx, TLS1_2_VERSION) || !set_roots(ctx, roots) || (own && !set_own(ctx, *own)) ||
      !offer_alpn(ctx, alpn_wire(alpn)))
    return openssl_failure("preparing a TLS client");
  SSL_CTX_set_options(ctx, SSL_OP_CLEANSE_PLAINTEXT);  // Secrets come this way
  SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, verify_peer);
  return Context(std::move(core));
}

const std::optional<Identity>& Context::identity() const { return core_->identity; }

}  // namespace culvert::tls
