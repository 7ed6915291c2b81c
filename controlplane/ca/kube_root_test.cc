#include "controlplane/ca/kube_root.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "common/base/base64.h"
#include "common/base/format.h"
#include "common/base/secrets.h"
#include "common/base/test_freed.h"
#include "common/kube/test_peer.h"

namespace culvert::controlplane {
namespace {

using kube::answer;
using testing::ElementsAre;
using testing::HasSubstr;

struct KubeRootTest : testing::Test {
  net::Loop loop;
  std::string users, ours;  // the Secrets; empty: not there
  bool conflict = false;    // somebody else makes ours in the same moment
  kube::Peer peer{loop, [this](const http::Request& request) {
                    if (request.method == "POST" && conflict) {
                      ours = ca_secret(*tls::Authority::make_root("cluster.local"), "istio-system");
                      return answer(409, R"({"kind":"Status","reason":"AlreadyExists","code":409})");
                    }
                    if (request.method == "POST") return answer(201, ours = request.body);
                    const std::string& secret = request.target.ends_with("/cacerts") ? users : ours;
                    return secret.empty() ? answer(404, R"({"kind":"Status","reason":"NotFound","code":404})")
                                          : answer(200, secret);
                  }};
  kube::Client client{loop, peer.access()};

  Result<Ca> load(const std::string& trust_domain = "cluster.local") {
    return loop.run(load_or_make_ca(client, "istio-system", trust_domain));
  }
};

std::string serial(const Result<Ca>& ca) { return ca ? ca->authority.certificate().serial() : ca.error().text; }

TEST_F(KubeRootTest, IsMadeOnceAndKept) {
  const auto made = load(), loaded = load();

  ASSERT_TRUE(made) << made.error().text;
  EXPECT_EQ(serial(made), serial(loaded));
  EXPECT_EQ(loaded->from, "Secret istio-system/istio-ca-secret");
  EXPECT_EQ(loaded->roots_pem, made->authority.certificate().pem());
}

TEST_F(KubeRootTest, WhoComesSecondTakesWhatTheFirstHasMade) {
  conflict = true;
  const auto taken = load();
  ASSERT_TRUE(taken) << taken.error().text;
  EXPECT_EQ(serial(taken), serial(read_ca_secret(ours, "cluster.local")));
}

TEST_F(KubeRootTest, TheUsersOwnComesFirstAlsoAsAnIntermediate) {
  const auto root = *tls::Authority::make_root("cluster.local");
  const auto other = *tls::Authority::make_root("cluster.local");
  const auto field = [](const std::string& pem) { return to_base64(pem); };
  users = culvert::format(R"({{"data":{{"ca-cert.pem":"{}","ca-key.pem":"{}","cert-chain.pem":"{}","root-cert.pem":"{}"}}}})",
                          field(root.certificate().pem()), field(root.key_pair().key().private_pem()),
                          field(root.certificate().pem()),  // as people do: the signer and the root once more
                          field(root.certificate().pem() + other.certificate().pem()));

  const auto ca = load();

  ASSERT_TRUE(ca) << ca.error().text;
  EXPECT_EQ(ca->from, "Secret istio-system/cacerts");
  EXPECT_EQ(ca->roots_pem, root.certificate().pem() + other.certificate().pem());
  EXPECT_TRUE(ca->authority.intermediates().empty());
  EXPECT_TRUE(ours.empty()) << "nothing is made beside it";
}

TEST_F(KubeRootTest, ASecretThatCannotBeUsedIsSaidAndNothingIsMadeInItsPlace) {
  const auto why = [&](const std::string& secret) {
    users = secret;
    const auto ca = load();
    return ca ? "taken" : ca.error().text;
  };
  EXPECT_THAT(why(R"({"data":{}})"), HasSubstr("reading Secret istio-system/cacerts: has no ca-cert.pem"));
  EXPECT_THAT(why(R"({"data":{"ca-cert.pem":"*"}})"), HasSubstr("ca-cert.pem is not base64"));
  EXPECT_THAT(why("{}"), HasSubstr("has no data"));
  const auto one = *tls::Authority::make_root("cluster.local"), other = *tls::Authority::make_root("cluster.local");
  EXPECT_THAT(why(culvert::format(R"({{"data":{{"ca-cert.pem":"{}","ca-key.pem":"{}","root-cert.pem":"{}"}}}})",
                                  to_base64(one.certificate().pem()), to_base64(one.key_pair().key().private_pem()),
                                  to_base64(other.certificate().pem()))),
              HasSubstr("cacerts: nobody who trusts the root certificates would trust the CA certificate"));
  const std::string good = ca_secret(*tls::Authority::make_root("cluster.local"), "istio-system");
  users = good;
  EXPECT_THAT(load("example.org").error().text, HasSubstr("the trust domain is set to example.org"));
  EXPECT_TRUE(ours.empty());
}

// A piece of the key as a Secret has it: of the number itself, what stands before that is in every key of the curve.
std::string piece_of(const tls::Authority& authority) {
  std::string pem = authority.key_pair().key().private_pem(), encoded = to_base64(pem);
  std::string piece = encoded.substr(104, 36);
  wipe(pem);
  wipe(encoded);
  return piece;
}

// The API server is on a thread of its own: what that one leaves behind is not looked at.
struct KubeRootKeys : testing::Test {
  std::string secret;  // istio-ca-secret; empty: not there
  net::LoopThread there{"peer"};
  std::optional<kube::Peer> peer;
  net::Loop loop;
  std::optional<kube::Client> client;

  KubeRootKeys() {
    there.call([this] {
      peer.emplace(there.loop(), [this](const http::Request& request) {
        if (request.target.ends_with("/cacerts") || (request.method == "GET" && secret.empty()))
          return answer(404, R"({"kind":"Status","reason":"NotFound","code":404})");
        if (request.method == "POST") secret = request.body;
        return answer(200, secret);
      });
    });
    client.emplace(loop, peer->access());
  }
  ~KubeRootKeys() override {
    there.call([this] { peer.reset(); });
  }
};

TEST_F(KubeRootTest, AListOfRevokedCertificatesIsSeen) {
  users = ca_secret(*tls::Authority::make_root("cluster.local"), "istio-system");
  EXPECT_FALSE(load()->has_crl);
  users.insert(users.find("\"ca-cert.pem\""), R"("ca-crl.pem":"eA==",)");
  const auto ca = load();
  ASSERT_TRUE(ca) << ca.error().text;
  EXPECT_TRUE(ca->has_crl);
}

// Self-signed, of the organisation cluster.local and without a common name, as istiod makes its own.
constexpr std::string_view kIstiodsRoot =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBczCCARigAwIBAgIBBzAKBggqhkjOPQQDAjAYMRYwFAYDVQQKDA1jbHVzdGVy\n"
    "LmxvY2FsMB4XDTI0MDEwMTAwMDAwMFoXDTMzMTIzMTAwMDAwMFowGDEWMBQGA1UE\n"
    "CgwNY2x1c3Rlci5sb2NhbDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNRP/aat\n"
    "8el1l5WZHdFfUXFaxT9op9m60Loy+RpeO9PcLr7ZozuOOOB2R3jcClTsyeZv+zCX\n"
    "fZ/WmHITWHgp+OKjUzBRMB0GA1UdDgQWBBS7adyOH/+Ux0PXxftDWWE53W9SVDAf\n"
    "BgNVHSMEGDAWgBS7adyOH/+Ux0PXxftDWWE53W9SVDAPBgNVHRMBAf8EBTADAQH/\n"
    "MAoGCCqGSM49BAMCA0kAMEYCIQCuSacgwZgb4xBEZKZJvgfJZBdk/4ZAmkDhueVV\n"
    "TTnEEwIhAMIXLNiR6PIPeNyAS6kWSf5g9ly/2bFPDH/LfvpUNPBe\n"
    "-----END CERTIFICATE-----\n";

TEST_F(KubeRootTest, ARootThatIstiodHasMadeIsLeftToIt) {
  const auto stand_in = *tls::Authority::make_root("cluster.local");
  std::string secret = ca_secret(stand_in, "istio-system");
  const std::string certificate = to_base64(stand_in.certificate().pem());
  for (std::size_t at; (at = secret.find(certificate)) != secret.npos;)
    secret.replace(at, certificate.size(), to_base64(kIstiodsRoot));
  ours = secret;
  const RotationPolicy at_once{.overlap = std::chrono::hours(24 * 3650)};

  const auto done = loop.run(rotate_root(client, "istio-system", "cluster.local", at_once));

  ASSERT_TRUE(done) << done.error().text;
  EXPECT_FALSE(*done);
  EXPECT_EQ(peer.asked.size(), 1U) << "it is read, and not written";

  ours = ca_secret(stand_in, "istio-system");
  EXPECT_TRUE(*loop.run(rotate_root(client, "istio-system", "cluster.local", at_once))) << "one of culvertd's is replaced";
}

TEST_F(KubeRootTest, WhoLosesTheLeaseBetweenReadingAndWritingReplacesNoRoot) {
  ours = ca_secret(*tls::Authority::make_root("cluster.local"), "istio-system");
  const RotationPolicy at_once{.overlap = std::chrono::hours(24 * 3650)};

  const auto done = loop.run(rotate_root(client, "istio-system", "cluster.local", at_once, [] { return false; }));

  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().text, testing::HasSubstr("not wanted any more"));
  EXPECT_EQ(peer.asked.size(), 1U) << "it is read, and not written";
}

TEST_F(KubeRootKeys, ReadingItsSecretGivesNoMemoryBackThatHoldsTheKey) {
  const auto authority = *tls::Authority::make_root("cluster.local");
  secret = ca_secret(authority, "istio-system");
  secret.insert(secret.find("\"name\""), R"("resourceVersion":"17",)");
  const std::string piece = piece_of(authority);
  const Freed freed(piece);

  const auto ca = loop.run(find_ca(*client, "istio-system", "cluster.local"));

  ASSERT_TRUE(ca && *ca);
  EXPECT_EQ((*ca)->sequence, 17U);
  EXPECT_EQ(freed.times(), 0);
}

TEST_F(KubeRootKeys, MakingOneGivesNoMemoryBackThatHoldsTheSecret) {
  const Freed freed(R"("ca-key.pem":"LS0t)");
  const auto ca = loop.run(load_or_make_ca(*client, "istio-system", "cluster.local"));

  ASSERT_TRUE(ca) << ca.error().text;
  EXPECT_EQ(freed.times(), 0);
}

TEST_F(KubeRootKeys, ReplacingARootGivesNoMemoryBackThatHoldsTheNext) {
  for (const char* piece : {R"("next-key.pem":"LS0t)", "\n-----END PRIVATE KEY"}) {
    secret = ca_secret(*tls::Authority::make_root("cluster.local"), "istio-system");
    const Freed freed(piece);
    const auto done = loop.run(rotate_root(*client, "istio-system", "cluster.local", {.overlap = std::chrono::hours(24 * 3650)}));

    ASSERT_TRUE(done) << done.error().text;
    EXPECT_TRUE(*done);
    EXPECT_EQ(freed.times(), 0) << piece;
  }
}

}  // namespace
}  // namespace culvert::controlplane
