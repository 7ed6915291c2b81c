// culvertd's certificate authority: who gets what, and what its files must look like.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <vector>

#include "common/rpc/ca_client.h"
#include "common/tls/authority.h"
#include "tests/integration/culvertd/fixture.h"

namespace culvert::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr const char* kWeb = "spiffe://cluster.local/ns/shop/sa/web";

struct Ca : CulvertdTest {
  void chmod(const std::string& name, unsigned mode) const {
    std::filesystem::permissions(folder + "/" + name, static_cast<std::filesystem::perms>(mode));
  }
};

TEST_F(Ca, SignsForPodsOfTheCallersNode) {
  write("a.yaml", pod("a", "n1", "10.0.0.1"));
  ASSERT_TRUE(start());

  const Signed got = sign(kToken1, kWeb, 3600);

  ASSERT_TRUE(got.ended.ok()) << got.ended.describe();
  ASSERT_THAT(got.chain, SizeIs(2));
  const auto leaf = tls::Certificate::parse(got.chain[0]);
  ASSERT_TRUE(leaf) << leaf.error().text;
  EXPECT_THAT(leaf->uri_sans(), ElementsAre(kWeb));  // not what the CSR says
  const auto lifetime = leaf->not_after() - leaf->not_before();
  EXPECT_EQ(std::chrono::duration_cast<std::chrono::seconds>(lifetime).count(), 3600 + 120);
  EXPECT_EQ(got.chain[1], server().roots_pem);
  EXPECT_TRUE(says("issued a certificate\tidentity=\"spiffe://cluster.local/ns/shop/sa/web\" caller=\"node n1\" serial=\"" +
                   leaf->serial()));
  EXPECT_THAT(metrics(), HasSubstr("citadel_server_success_cert_issuance_count 1\n"));
}

TEST_F(Ca, TheRealClientGetsAChainThatVerifies) {
  write("a.yaml", pod("a", "n1", "10.0.0.1"));
  ASSERT_TRUE(start());
  std::filesystem::create_directory(folder + "/client");
  std::FILE* file = std::fopen((folder + "/client/token").c_str(), "w");
  std::fprintf(file, "%s\n", kToken1);
  std::fclose(file);
  rpc::CaClient client(
      loop,
      {.address = server().address,
       .name = "",
       .credentials = {
           .token = folder + "/client/token", .roots = folder + "/data/root-cert.pem", .cluster_id = "Kubernetes", .extra = {}}});
  const auto csr = tls::make_csr(*Identity::parse(kWeb));

  const auto chain = loop.run(client.sign({.csr_pem = csr->pem, .identity = kWeb}));

  ASSERT_TRUE(chain) << chain.error().text;
  EXPECT_TRUE(tls::KeyPair::make(*tls::Certificate::parse_all(chain->certificates[0]), csr->key));
  EXPECT_EQ(chain->roots, server().roots_pem);
}

TEST_F(Ca, RefusesEverythingElse) {
  write("a.yaml", pod("a", "n1", "10.0.0.1") + pod("b", "n2", "10.0.0.2", "db"));
  ASSERT_TRUE(start());
  const auto refused = [&](const std::string& token, const std::string& identity, long seconds = 0) {
    const Signed got = sign(token, identity, seconds);
    EXPECT_THAT(got.chain, IsEmpty());
    return got.ended.code;
  };

  EXPECT_EQ(refused("token-of-nobody-at-all", kWeb), 16);
  EXPECT_EQ(refused(kToken2, kWeb), 16);  // its pod is on the other node
  EXPECT_EQ(refused(kToken1, "spiffe://cluster.local/ns/shop/sa/db"), 16);
  EXPECT_EQ(refused(kToken1, "spiffe://cluster.local/ns/shop/sa/none"), 16);
  EXPECT_EQ(refused(kToken1, "spiffe://elsewhere/ns/shop/sa/web"), 16);
  EXPECT_EQ(refused(kToken1, "nonsense"), 16);
  EXPECT_EQ(refused(kToken1, ""), 16);
  EXPECT_EQ(refused(kToken1, kWeb, 100L * 365 * 86400), 3);
  EXPECT_TRUE(says("no pod with the identity spiffe://cluster.local/ns/shop/sa/web is on node n2"));
  EXPECT_THAT(log(), Not(HasSubstr(kToken1)));
  EXPECT_THAT(log(), Not(HasSubstr("PRIVATE KEY")));
}

TEST_F(Ca, APodThatMovesTakesItsCertificatesAlong) {
  write("a.yaml", pod("a", "n1", "10.0.0.1"));
  ASSERT_TRUE(start());
  EXPECT_TRUE(sign(kToken1, kWeb).ended.ok());

  write("a.yaml", pod("a", "n2", "10.0.0.1"));
  until([&] { return sign(kToken2, kWeb).ended.ok(); }, "the new node may");

  EXPECT_EQ(sign(kToken1, kWeb).ended.code, 16);
}

TEST_F(Ca, SecretsThatOthersCanReadAreRefused) {
  chmod("tokens", 0644);
  EXPECT_FALSE(start());
  EXPECT_EQ(exit_code, 1);
  EXPECT_TRUE(says("tokens: mode 0644 lets others at it (chmod 0600"));

  chmod("tokens", 0600);
  ASSERT_TRUE(start());
  stop();
  chmod("data/ca-key.pem", 0640);
  EXPECT_FALSE(start());
  EXPECT_EQ(exit_code, 1);
  EXPECT_TRUE(says("ca-key.pem: mode 0640 lets others at it"));
}

TEST_F(Ca, FilesAreWhatTheyShouldBe) {
  ASSERT_TRUE(start());
  const auto mode = [&](const std::string& name) {
    struct stat about{};
    return ::stat((folder + "/data/" + name).c_str(), &about) == 0 ? about.st_mode & 0777 : 0;
  };

  EXPECT_EQ(mode(""), 0700U);
  EXPECT_EQ(mode("ca-key.pem"), 0600U);
  EXPECT_EQ(mode("server-key.pem"), 0600U);
  EXPECT_EQ(mode("root-cert.pem"), 0644U);
}

TEST_F(Ca, APortThatIsTakenIsSaidInOneLine) {
  ASSERT_TRUE(start());
  const pid_t first = std::exchange(pid, -1);
  data = "other-data";

  EXPECT_FALSE(start());
  EXPECT_EQ(exit_code, 1);
  EXPECT_TRUE(says("culvertd: listening on "));
  EXPECT_TRUE(says("Address already in use"));
  pid = first;
}

TEST_F(Ca, ADataFolderIsOneProgramsAtATime) {
  ASSERT_TRUE(start());
  const pid_t first = std::exchange(pid, -1);

  EXPECT_FALSE(start());
  EXPECT_EQ(exit_code, 1);
  EXPECT_TRUE(says("/data is another culvertd's"));
  pid = first;
}

TEST_F(Ca, ATokenFileMovedInReadableForAllCountsOnceItsModeIsMended) {
  write("a.yaml", pod("a", "n1", "10.0.0.1"));
  ASSERT_TRUE(start());
  EXPECT_TRUE(sign(kToken1, kWeb).ended.ok());

  write("../tokens.yaml", "token-of-the-new-node n1\n");
  std::filesystem::rename(folder + "/tokens.yaml", folder + "/tokens");
  chmod("tokens", 0644);
  until([&] { return log().contains("the last good tokens stay in force"); }, "the refusal");
  EXPECT_TRUE(sign(kToken1, kWeb).ended.ok());
  chmod("tokens", 0600);
  until([&] { return log().contains("read the tokens again"); }, "the new tokens");

  EXPECT_EQ(sign(kToken1, kWeb).ended.code, 16);
  EXPECT_TRUE(sign("token-of-the-new-node", kWeb).ended.ok());
}

TEST_F(Ca, AnEmptiedTokenFileChangesNothingAndOneOfCommentsRevokesAll) {
  write("a.yaml", pod("a", "n1", "10.0.0.1"));
  ASSERT_TRUE(start());
  const auto rewrite = [&](const char* text) {
    std::FILE* file = std::fopen((folder + "/tokens").c_str(), "w");
    std::fputs(text, file);
    std::fclose(file);
  };

  rewrite("");
  until([&] { return log().contains("tokens is empty"); }, "the error line");
  EXPECT_TRUE(sign(kToken1, kWeb).ended.ok());
  rewrite("# nobody\n");
  until([&] { return log().contains("nobody may connect"); }, "the warning");

  EXPECT_EQ(sign(kToken1, kWeb).ended.code, 16);
}

TEST_F(Ca, OneTokenCannotHoldAllCalls) {
  ASSERT_TRUE(start());
  std::vector<std::unique_ptr<Subscriber>> many;
  for (int i = 0; i < 40; ++i) {
    many.push_back(connect());
    many.back()->subscribe("type.googleapis.com/istio.workload.Address");
  }
  const auto refused = [&] { return std::ranges::count_if(many, [](const auto& one) { return one->ended.has_value(); }); };

  until([&] { return refused() == 8; }, "the refusals");

  auto other = connect(kToken2);
  other->subscribe("type.googleapis.com/istio.workload.Address");
  until([&] { return !other->responses.empty(); }, "another node's answer");
  EXPECT_EQ(refused(), 8);
}

}  // namespace
}  // namespace culvert::test
