#include "common/rpc/ca_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/rpc/test_world.h"
#include "proto/ca.pb.h"

namespace culvert::rpc {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

struct CaWorld : World {
  std::string token = certificates().folder + "/token";
  CaWorld() { spit(token, "secret\n"); }
  CaOptions options() {
    return {.address = "https://localhost:" + std::to_string(server->port()),
            .name = "",
            .credentials = {
                .token = token, .roots = certificates().certificate("ca"), .cluster_id = "c1", .extra = {{"x-extra", "1"}}}};
  }
  // Tries again as its callers do (see connected()).
  Result<SignedChain> sign(CaClient& client, const SigningRequest& request) {
    auto chain = loop.run(client.sign(request));
    for (int i = 0; i < 5 && !chain && chain.error().text.contains("Invalid argument"); ++i)
      chain = loop.run(client.sign(request));
    return chain;
  }
  void answer_with(std::vector<std::string> chain) {
    on_call = [chain](CallRef call) {
      call->accept({[call = call.get(), chain](std::string) {
                      istio::v1::auth::IstioCertificateResponse out;
                      for (const auto& pem : chain) out.add_cert_chain(pem);
                      call->answer(out.SerializeAsString());
                    },
                    {},
                    {}});
    };
  }
};

TEST_F(CaWorld, AsksAsIstioDoes) {
  istio::v1::auth::IstioCertificateRequest asked;
  on_call = [&](CallRef call) {
    EXPECT_EQ(call->path(), "/istio.v1.auth.IstioCertificateService/CreateCertificate");
    EXPECT_EQ(call->metadata("authorization"), "Bearer secret");
    EXPECT_EQ(call->metadata("clusterid"), "c1");
    EXPECT_EQ(call->metadata("x-extra"), "1");
    call->accept({[&asked, call = call.get()](std::string message) {
                    EXPECT_TRUE(asked.ParseFromString(message));
                    istio::v1::auth::IstioCertificateResponse out;
                    for (const char* pem : {"leaf", "intermediate", "roots"}) out.add_cert_chain(pem);
                    call->answer(out.SerializeAsString());
                  },
                  {},
                  {}});
  };
  CaClient client(loop, options());

  const auto chain = sign(client, {.csr_pem = "CSR", .identity = "spiffe://td/ns/a/sa/b", .lifetime = 3600s});

  ASSERT_TRUE(chain) << chain.error().text;
  EXPECT_THAT(chain->certificates, ElementsAre("leaf", "intermediate"));
  EXPECT_EQ(chain->roots, "roots");
  EXPECT_EQ(asked.csr(), "CSR");
  EXPECT_EQ(asked.validity_duration(), 3600);
  EXPECT_EQ(asked.metadata().fields().at("ImpersonatedIdentity").string_value(), "spiffe://td/ns/a/sa/b");
}

TEST_F(CaWorld, SaysWhyThereIsNoCertificate) {
  const auto why = [&](const CaOptions& how) {
    CaClient client(loop, how);
    const auto chain = sign(client, {.csr_pem = "CSR", .identity = ""});
    EXPECT_FALSE(chain);
    EXPECT_EQ(chain.error().reason, Reason::kIdentityError);
    return chain.error().text;
  };
  answer_with({"leaf"});
  EXPECT_THAT(why(options()), HasSubstr("the answer holds no certificate together with its roots"));
  answer_with({});
  EXPECT_THAT(why(options()), HasSubstr("no certificate"));
  on_call = [](CallRef call) { call->finish({16, "no pod of that service account on the node"}); };
  EXPECT_THAT(why(options()), HasSubstr("UNAUTHENTICATED: no pod of that service account on the node"));
  auto missing = options();
  missing.credentials.token = "/nonexistent";
  EXPECT_THAT(why(missing), HasSubstr("reading the token: opening /nonexistent: No such file or directory"));
  auto plain = options();
  plain.address = "http://localhost:1";
  EXPECT_THAT(why(plain), HasSubstr("only https is spoken"));
}

TEST_F(CaWorld, ReadsTokenAndRootsAnewForEveryCall) {
  std::vector<std::string> tokens;
  on_call = [&](CallRef call) {
    tokens.emplace_back(call->metadata("authorization"));
    call->accept({[call = call.get()](std::string) {
                    istio::v1::auth::IstioCertificateResponse out;
                    out.add_cert_chain("leaf"), out.add_cert_chain("roots");
                    call->answer(out.SerializeAsString());
                  },
                  {},
                  {}});
  };
  auto how = options();
  how.credentials.roots = certificates().folder + "/roots.pem";
  spit(how.credentials.roots, slurp(certificates().certificate("other")));
  CaClient client(loop, how);

  EXPECT_FALSE(sign(client, {.csr_pem = "CSR"}));
  spit(how.credentials.roots, slurp(certificates().certificate("ca")));
  EXPECT_TRUE(sign(client, {.csr_pem = "CSR"}));
  spit(token, "fresh");
  EXPECT_TRUE(sign(client, {.csr_pem = "CSR"}));

  EXPECT_THAT(tokens, ElementsAre("Bearer secret", "Bearer fresh"));
}

TEST_F(CaWorld, AServerIsFoundAgainSoonAfterItWasAway) {
  answer_with({"leaf", "roots"});
  const auto how = options();
  const auto address = "127.0.0.1:" + std::to_string(server->port());
  CaClient client(loop, how);
  ASSERT_TRUE(sign(client, {.csr_pem = "CSR"}));

  server.reset();
  const auto try_for = [&](net::Clock::duration time) {
    const auto end = net::Clock::now() + time;
    bool signed_once = false;
    while (!signed_once && net::Clock::now() < end) {
      signed_once = loop.run(client.sign({.csr_pem = "CSR"})).has_value();
      loop.run([](net::Loop* on) -> net::Task<> { co_await net::sleep_for(*on, 20ms); }(&loop));
    }
    return signed_once;
  };
  EXPECT_FALSE(try_for(3s));
  server =
      CallServer::start(
          loop, {.address = address, .certificate_file = certificates().certificate("ca"), .key_file = certificates().key("ca")},
          [this](CallRef call) { calls.push_back(call), on_call(call); })
          .value();

  EXPECT_TRUE(try_for(1800ms));
}

}  // namespace
}  // namespace culvert::rpc
