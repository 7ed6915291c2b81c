// Peers that know ML-KEM and peers that do not: none may cost a second round (HelloRetryRequest).
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <vector>

#include "common/tls/authority.h"
#include "common/tls/openssl.h"
#include "common/tls/session.h"

namespace culvert::tls {
namespace {

using namespace std::chrono_literals;

// A peer that is not ours: bare OpenSSL with the groups it is given.
class Foreign {
 public:
  Foreign(bool client, const char* groups, const KeyPair& own)
      : ctx_(SSL_CTX_new(client ? TLS_client_method() : TLS_server_method())) {
    EXPECT_EQ(SSL_CTX_set1_groups_list(ctx_.get(), groups), 1);
    SSL_CTX_use_certificate(ctx_.get(), own.leaf().native());
    SSL_CTX_use_PrivateKey(ctx_.get(), own.key().native());
    ssl_.reset(SSL_new(ctx_.get()));
    SSL_set_bio(ssl_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    client ? SSL_set_connect_state(ssl_.get()) : SSL_set_accept_state(ssl_.get());
    SSL_do_handshake(ssl_.get());
  }
  std::vector<std::byte> take() {
    std::vector<std::byte> out(BIO_ctrl_pending(SSL_get_wbio(ssl_.get())));
    if (!out.empty()) BIO_read(SSL_get_wbio(ssl_.get()), out.data(), static_cast<int>(out.size()));
    return out;
  }
  void feed(std::span<const std::byte> in) {
    BIO_write(SSL_get_rbio(ssl_.get()), in.data(), static_cast<int>(in.size()));
    SSL_do_handshake(ssl_.get());
  }

 private:
  Owned<SSL_CTX, SSL_CTX_free> ctx_;
  Owned<SSL, SSL_free> ssl_;
};

// The number of flights that the client sent.
int talk(Session& ours, Foreign& foreign, bool we_are_client) {
  int of_ours = 0;
  int of_foreign = 0;
  for (;;) {
    const std::vector<std::byte> out(ours.output().begin(), ours.output().end());
    ours.sent(out.size());
    if (!out.empty()) foreign.feed(out);
    of_ours += out.empty() ? 0 : 1;
    const auto in = foreign.take();
    if (!in.empty()) {
      ours.feed(in);
      ours.keep();
    }
    of_foreign += in.empty() ? 0 : 1;
    if (out.empty() && in.empty()) return we_are_client ? of_ours : of_foreign;
  }
}

using Peer = std::pair<const char*, std::string_view>;  // the groups it is given, the one agreed on

class Groups : public testing::TestWithParam<Peer> {
 protected:
  static inline const Authority authority = *Authority::make_root("cluster.local");
  static inline const Identity us = {"cluster.local", "default", "us"};
  static inline const Identity them = {"cluster.local", "default", "them"};
  const KeyPair theirs = *authority.make_workload(them, 1h);
  const Context context = *Context::mesh(*authority.make_workload(us, 1h), Roots({authority.certificate()}));
};

class ForeignClient : public Groups {};
INSTANTIATE_TEST_SUITE_P(Peers, ForeignClient,
                         testing::Values(Peer("X25519:P-256:P-384:X25519MLKEM768", "x25519"),  // Istio's ztunnel
                                         Peer("*X25519MLKEM768:*X25519", "X25519MLKEM768"), Peer("P-256:X25519", "secp256r1")));
TEST_P(ForeignClient, NeedsOneRound) {
  Foreign client(true, GetParam().first, theirs);
  Session server = context.mesh_server();

  EXPECT_EQ(talk(server, client, false), 2);
  ASSERT_TRUE(server.established()) << server.error().text;
  EXPECT_EQ(server.group(), GetParam().second);
}

class ForeignServer : public Groups {};
INSTANTIATE_TEST_SUITE_P(Peers, ForeignServer,
                         testing::Values(Peer("X25519:P-256:P-384:X25519MLKEM768", "X25519MLKEM768"),
                                         Peer("X25519:P-256", "x25519"), Peer("X25519MLKEM768", "X25519MLKEM768")));
TEST_P(ForeignServer, NeedsOneRound) {
  Foreign server(false, GetParam().first, theirs);
  const Identity expected[] = {them};
  Session client = context.mesh_client(expected);

  EXPECT_EQ(talk(client, server, true), 2);
  ASSERT_TRUE(client.established()) << client.error().text;
  EXPECT_EQ(client.group(), GetParam().second);
}

}  // namespace
}  // namespace culvert::tls
