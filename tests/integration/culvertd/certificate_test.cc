// Callers that show a certificate of the mesh, and a port without TLS.
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "common/tls/authority.h"
#include "common/xds/wire.h"
#include "controlplane/ca/service.h"
#include "proto/ca.pb.h"
#include "tests/integration/culvertd/fixture.h"
#include "tests/integration/culvertd/raw_client.h"

namespace culvert::test {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

constexpr int kOk = 0, kPermissionDenied = 7, kUnauthenticated = 16;
constexpr const char* kWeb = "spiffe://cluster.local/ns/shop/sa/web";
constexpr const char* kZtunnel = "spiffe://cluster.local/ns/istio-system/sa/ztunnel";
const std::string kAds(xds::kAdsPath);
const std::string kSign(controlplane::kCreateCertificatePath);

struct Certified : CulvertdTest {
  static std::string text(const std::string& path) {
    std::ifstream file(path);
    std::stringstream out;
    out << file.rdbuf();
    return out.str();
  }
  // culvertd's own CA.
  tls::Authority authority() const {
    return *tls::Authority::load(text(folder + "/data/ca-cert.pem"), text(folder + "/data/ca-key.pem"));
  }
  static std::string request(const std::string& impersonated = "") {
    istio::v1::auth::IstioCertificateRequest out;
    out.set_csr(tls::make_csr(*Identity::parse(kWeb))->pem);
    if (!impersonated.empty()) (*out.mutable_metadata()->mutable_fields())["ImpersonatedIdentity"].set_string_value(impersonated);
    return out.SerializeAsString();
  }
  RawClient showing(std::optional<tls::KeyPair> own) const { return {port, server().roots_pem, std::move(own)}; }
  RawClient showing(const tls::Authority& by, const char* identity, tls::SystemTime at = std::chrono::system_clock::now()) const {
    return showing(*by.make_workload(*Identity::parse(identity), 1h, at));
  }
  static int status(const std::optional<RawClient::Answer>& answer) { return answer ? answer->status : -1; }
  static std::string subscription() {
    xds::Request request;
    request.node.id = "ztunnel~127.0.0.1~ztunnel-1.istio-system~istio-system.svc.cluster.local";
    request.type_url = xds::kAddressType;
    return xds::encode(request);
  }
};

TEST_F(Certified, GetsTheNextOfItsOwnIdentity) {
  write("a.yaml", pod("a", "n1", "10.0.0.1"));
  ASSERT_TRUE(start());
  RawClient client = showing(authority(), kWeb);

  const auto answer = client.call(kSign, "", request());

  ASSERT_EQ(status(answer), kOk) << (answer ? answer->text : "the connection has ended");
  istio::v1::auth::IstioCertificateResponse response;
  ASSERT_TRUE(response.ParseFromString(answer->message));
  EXPECT_THAT(tls::Certificate::parse(response.cert_chain(0))->uri_sans(), testing::ElementsAre(kWeb));
  EXPECT_TRUE(says(std::string("caller=\"") + kWeb));
}

TEST_F(Certified, GetsNoOtherIdentityAndNoConfiguration) {
  write("a.yaml", pod("a", "n1", "10.0.0.1"));
  ASSERT_TRUE(start());
  RawClient client = showing(authority(), kWeb);

  EXPECT_EQ(status(client.call(kSign, "", request("spiffe://cluster.local/ns/shop/sa/db"))), kUnauthenticated);
  EXPECT_EQ(status(client.call(kAds, "", subscription())), kPermissionDenied);
  EXPECT_EQ(status(client.call("/istio.none/None", "", "")), 12);
}

TEST_F(Certified, WhoseAccountHasNoPodAnyMoreGetsNone) {
  ASSERT_TRUE(start());

  EXPECT_EQ(status(showing(authority(), kWeb).call(kSign, "", request())), kUnauthenticated);
  EXPECT_TRUE(says("has no pod any more"));
}

TEST_F(Certified, ANodeProxyGetsTheConfigurationAndNobodysCertificate) {
  write("a.yaml", pod("a", "n1", "10.0.0.1"));
  ASSERT_TRUE(start());
  RawClient client = showing(authority(), kZtunnel);

  const auto answer = client.call(kAds, "", subscription(), /*all=*/false);
  EXPECT_TRUE(answer && answer->message.contains("shop/a"));
  EXPECT_THAT(page("/debug/syncz"), HasSubstr(std::string(kZtunnel) + " at 127.0.0.1"));
  EXPECT_EQ(status(client.call(kSign, "", request(kWeb))), kUnauthenticated);
}

TEST_F(Certified, IsRefusedWhenItIsNotGoodWhateverElseIsShown) {
  write("a.yaml", pod("a", "n1", "10.0.0.1"));
  ASSERT_TRUE(start());
  const auto foreign = *tls::Authority::make_root("cluster.local");
  const auto now = std::chrono::system_clock::now();

  EXPECT_EQ(status(showing(foreign, kWeb).call(kSign, "", request())), kUnauthenticated);
  EXPECT_EQ(status(showing(foreign, kWeb).call(kSign, kToken1, request(kWeb))), kUnauthenticated) << "with a good token";
  EXPECT_EQ(status(showing(authority(), kWeb, now - 2h).call(kSign, "", request())), kUnauthenticated) << "expired";
  EXPECT_EQ(status(showing(authority(), "spiffe://elsewhere/ns/shop/sa/web").call(kSign, "", request())), kUnauthenticated);
  EXPECT_TRUE(says("refused a call that proves nobody: the caller's certificate"));
}

TEST_F(Certified, WithoutOneThereIsTheToken) {
  write("a.yaml", pod("a", "n1", "10.0.0.1"));
  ASSERT_TRUE(start());

  EXPECT_EQ(status(showing(std::nullopt).call(kSign, "", request())), kUnauthenticated);
  EXPECT_EQ(status(showing(std::nullopt).call(kSign, kToken1, request(kWeb))), kOk);
  EXPECT_EQ(status(showing(authority(), kWeb).call(kSign, kToken1, request(kWeb))), kOk) << "the token says more";
}

TEST_F(Certified, APortWithoutTlsIsThereOnlyWhenAskedFor) {
  const int plaintext = debug_port + 1;
  write("a.yaml", pod("a", "n1", "10.0.0.1"));
  ASSERT_TRUE(start());
  EXPECT_FALSE(dial(plaintext, "127.0.0.1"));
  stop();

  environment["CULVERT_PLAINTEXT_ADDRESS"] = "127.0.0.1:" + std::to_string(plaintext);
  ASSERT_TRUE(start());
  EXPECT_TRUE(says("WITHOUT TLS"));
  RawClient client(plaintext, "");
  const auto answer = client.call(kSign, kToken1, request(kWeb));
  EXPECT_EQ(status(answer), kOk);
  EXPECT_EQ(status(client.call(kSign, "", request())), kUnauthenticated) << "who calls has to be proved here as well";
}

}  // namespace
}  // namespace culvert::test
