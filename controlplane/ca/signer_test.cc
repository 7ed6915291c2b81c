#include "controlplane/ca/signer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "common/base/base64.h"
#include "common/kube/test_peer.h"
#include "controlplane/ca/kube_signer.h"

namespace culvert::controlplane {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
namespace json = boost::json;

const Identity kWeb{"cluster.local", "shop", "web"}, kDb{"cluster.local", "shop", "db"};

LeafRequest request_for(const Identity& identity) {
  const std::string pem = tls::make_csr(identity)->pem;
  return {.csr_pem = pem, .csr = *tls::CsrRequest::parse(pem), .identity = identity, .lifetime = 1h};
}

struct SignerTest : testing::Test {
  const tls::Authority root = *tls::Authority::make_root("cluster.local"), other = *tls::Authority::make_root("cluster.local");
  LeafRequest request = request_for(kWeb);
  std::string why(const std::string& chain, const std::string& roots) const {
    const auto leaf = check_signed(chain, roots, request, std::chrono::system_clock::now());
    return leaf ? "taken" : leaf.error().text;
  }
};

TEST_F(SignerTest, WhatAnotherSignsIsForThisKeyAndIdentityAndLeadsToItsRoots) {
  const std::string good = root.sign(request.csr, kWeb, 1h)->pem(), roots = root.certificate().pem();

  EXPECT_EQ(why(good, roots), "taken");
  EXPECT_THAT(why(root.sign(request.csr, kDb, 1h)->pem(), roots),
              HasSubstr("a certificate for spiffe://cluster.local/ns/shop/sa/db"));
  EXPECT_THAT(why(root.sign(request_for(kWeb).csr, kWeb, 1h)->pem(), roots), HasSubstr("of another key"));
  EXPECT_THAT(why(good, other.certificate().pem()), HasSubstr("shop/sa/web: unable to get local issuer certificate"));
  EXPECT_THAT(why("", roots), HasSubstr("reading a certificate"));
  EXPECT_THAT(why(good, ""), HasSubstr("its roots"));
}

TEST_F(SignerTest, TheRootIsNoPartOfTheChain) {
  const auto between = *root.make_intermediate("between", 10h);
  const auto leaf =
      check_signed(between.sign(request.csr, kWeb, 1h)->pem() + between.certificate().pem() + root.certificate().pem(),
                   root.certificate().pem(), request, std::chrono::system_clock::now());
  ASSERT_TRUE(leaf) << leaf.error().text;
  EXPECT_EQ(leaf->chain.size(), 2U);
}

// An API server with one CertificateSigningRequest, and a signer behind it.
struct KubeSignerTest : SignerTest {
  net::Loop loop;
  json::object object;
  std::string denied;  // the signer says no
  bool deaf = false;   // or nothing
  bool removed = false;
  kube::Peer peer{loop, [this](const http::Request& request) { return serve(request); }};
  kube::Client client{loop, peer.access()};
  KubeSigner signer{client,
                    {.signer = "example.com/mesh", .roots = root.certificate().pem(), .patience = 300ms, .first_look = 5ms}};

  kube::Steps serve(const http::Request& asked) {
    if (asked.method == "POST") object = json::parse(asked.body).as_object();
    if (asked.method == "PUT") {
      object = json::parse(asked.body).as_object();
      sign();
    }
    if (asked.method == "DELETE") removed = true;
    return kube::answer(asked.method == "POST" ? 201 : 200, json::serialize(object));
  }
  void sign() {
    const std::string csr = *from_base64(object.at("spec").at("request").as_string());
    auto& status = object["status"].as_object();
    EXPECT_EQ(status.at("conditions").at(0).at("type").as_string(), "Approved");
    if (!denied.empty()) status["conditions"].as_array().push_back({{"type", "Denied"}, {"message", denied}, {"reason", "No"}});
    else if (!deaf) status["certificate"] = to_base64(root.sign(*tls::CsrRequest::parse(csr), kWeb, 1h)->pem());
  }
  Result<SignedLeaf> sign(const LeafRequest& wanted) { return loop.run(signer.sign(wanted)); }
};

TEST_F(KubeSignerTest, MakesApprovesWaitsAndRemoves) {
  const auto leaf = sign(request);

  ASSERT_TRUE(leaf) << leaf.error().text;
  EXPECT_EQ(leaf->roots_pem, root.certificate().pem());
  EXPECT_EQ(object.at("spec").at("signerName").as_string(), "example.com/mesh");
  EXPECT_EQ(object.at("spec").at("expirationSeconds").as_int64(), 3600);
  EXPECT_EQ(object.at("spec").at("usages").as_array().size(), 4U);
  EXPECT_TRUE(removed);
}

TEST_F(KubeSignerTest, ARefusalAndSilenceAreSaid) {
  denied = "not today";
  EXPECT_THAT(sign(request).error().text, HasSubstr("the signer example.com/mesh said no: Denied: not today (No)"));
  EXPECT_TRUE(removed);
  denied.clear();
  deaf = true;
  EXPECT_THAT(sign(request).error().text, HasSubstr("has not signed within 300 ms (does its controller run?)"));
}

TEST_F(KubeSignerTest, ARequestForAnythingElseIsNotHandedOn) {
  LeafRequest sly = request_for(kDb);
  sly.identity = kWeb;
  EXPECT_THAT(sign(sly).error().text, HasSubstr("holds other names, a subject or extensions"));
  EXPECT_TRUE(peer.asked.empty());
}

}  // namespace
}  // namespace culvert::controlplane
