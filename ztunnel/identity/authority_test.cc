#include "ztunnel/identity/authority.h"

#include <gtest/gtest.h>

#include "common/tls/authority.h"

namespace culvert::ztunnel {
namespace {

using namespace std::chrono_literals;

const Identity kWho{"cluster.local", "shop", "web"};

struct Answer : testing::Test {
  tls::Authority root = tls::Authority::make_root("cluster.local").value();
  tls::Csr csr = tls::make_csr(kWho).value();

  std::string leaf(const Identity& identity = kWho) const {
    return root.sign(tls::CsrRequest::parse(csr.pem).value(), identity, 1h)->pem();
  }
  Result<CredentialsRef> read(std::vector<std::string> certificates, std::string roots) const {
    return read_answer({.certificates = std::move(certificates), .roots = std::move(roots)}, csr.key, kWho);
  }
  std::string root_pem() const { return root.certificate().pem(); }
};

TEST_F(Answer, AnAnswerIsAChainAndItsRoots) {
  const auto read_one = read({leaf()}, root_pem() + root_pem());

  ASSERT_TRUE(read_one) << read_one.error().text;
  EXPECT_EQ((*read_one)->own.leaf().identity(), kWho);
  EXPECT_EQ((*read_one)->roots.certificates().size(), 2u);
}

TEST_F(Answer, OneElementMayHoldTheWholeChain) {
  const auto together = read({leaf() + root_pem()}, root_pem());
  const auto apart = read({leaf(), root_pem()}, root_pem());

  for (const auto* answer : {&together, &apart}) {
    ASSERT_TRUE(*answer) << answer->error().text;
    ASSERT_EQ((**answer)->own.chain().size(), 2u);
    EXPECT_EQ((**answer)->own.leaf().identity(), kWho);
  }
}

TEST_F(Answer, WhatIsNotOursIsRefused) {
  const auto why = [](const Result<CredentialsRef>& answer) { return answer ? "" : answer.error().text; };
  EXPECT_EQ(why(read({leaf({"cluster.local", "shop", "other"})}, root_pem())),
            "the authority's answer: a certificate for spiffe://cluster.local/ns/shop/sa/other instead of "
            "spiffe://cluster.local/ns/shop/sa/web");
  EXPECT_TRUE(why(read({root_pem()}, root_pem())).contains("a certificate for nobody"));
  EXPECT_EQ(why(read({}, root_pem())), "the authority's answer: no certificate");
  EXPECT_TRUE(why(read({leaf()}, "")).starts_with("the authority's answer: its roots: "));
  EXPECT_TRUE(why(read({"nonsense"}, root_pem())).starts_with("the authority's answer: "));

  const auto other_key = read_answer({.certificates = {leaf()}, .roots = root_pem()}, tls::PrivateKey::generate().value(), kWho);
  ASSERT_FALSE(other_key);
  EXPECT_EQ(other_key.error().reason, Reason::kIdentityError);
}

}  // namespace
}  // namespace culvert::ztunnel
