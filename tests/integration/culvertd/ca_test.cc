// culvertd's certificate authority: who gets what, and what its files must look like.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <thread>
#include <vector>

#include "common/base/file.h"
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
  // Of the CA's folder, at once as a whole.
  void put(const std::string& name, const std::string& text) const {
    const std::string path = folder + "/data/" + name;
    std::FILE* file = std::fopen((path + "~").c_str(), "w");
    std::fputs(text.c_str(), file);
    std::fclose(file);
    std::filesystem::permissions(path + "~", std::filesystem::perms(0600));
    std::filesystem::rename(path + "~", path);
  }
  // As its owner does: in as many steps as files.
  void install(const tls::Authority& authority, const std::string& roots) const {
    std::filesystem::create_directory(folder + "/data");
    chmod("data", 0700);
    put("root-cert.pem", roots);
    put("ca-cert.pem", authority.certificate().pem());
    put("ca-key.pem", authority.key_pair().key().private_pem());
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

// Whoever asks too often has to wait; nobody else does.
TEST_F(Ca, CertificatesOfOneCallerAreBoundedInATime) {
  write("a.yaml", pod("a", "n1", "10.0.0.1") + pod("b", "n2", "10.0.0.2"));
  ASSERT_TRUE(start());
  int signed_ones = 0, code = 0;
  for (; signed_ones < 2000 && code == 0; ++signed_ones) code = sign(kToken1, kWeb).ended.code;

  EXPECT_EQ(code, 8);
  EXPECT_GE(signed_ones, 500);
  EXPECT_LT(signed_ones, 2000);
  EXPECT_TRUE(sign(kToken2, kWeb).ended.ok());
  for (int i = 0; i < 20; ++i) sign(kToken1, kWeb);
  EXPECT_TRUE(says("refused a certificate: too many certificates are asked for"));
  const std::string lines = log();
  const auto first = lines.find("refused a certificate");
  EXPECT_EQ(lines.find("refused a certificate", first + 1), std::string::npos) << "one line is enough";
}

// Its owner puts another CA into the folder.
TEST_F(Ca, AnotherCaIsTakenUpWhileItRuns) {
  write("a.yaml", pod("a", "n1", "10.0.0.1"));
  const auto one = *tls::Authority::make_root("cluster.local"), two = *tls::Authority::make_root("cluster.local");
  environment["CULVERT_ROOT_OVERLAP"] = "1s";
  const std::string root1 = one.certificate().pem(), root2 = two.certificate().pem();
  const auto first = *one.make_intermediate("first", std::chrono::hours(1)),
             second = *one.make_intermediate("second", std::chrono::hours(1));
  install(first, root1);
  ASSERT_TRUE(start());
  const auto answer = [&](bool last) {
    const Signed got = sign(kToken1, kWeb);
    EXPECT_TRUE(got.ended.ok()) << got.ended.describe();
    return got.chain.size() < 2 ? std::string() : last ? got.chain.back() : got.chain[1];
  };
  const auto signer = [&] { return answer(false); };
  const auto roots = [&] { return answer(true); };
  EXPECT_EQ(signer(), first.certificate().pem());

  install(second, root1);
  until([&] { return signer() == second.certificate().pem(); }, "the new intermediate signs");

  const auto third = *two.make_intermediate("third", std::chrono::hours(1));
  install(third, root1 + root2);
  until([&] { return roots() == root1 + root2; }, "the new root is published");
  EXPECT_EQ(signer(), second.certificate().pem()) << "and does not sign yet";
  until([&] { return signer() == third.certificate().pem(); }, "the new root's intermediate signs");
  EXPECT_TRUE(sign(kToken1, kWeb).ended.ok());

  install(first, root1);
  EXPECT_TRUE(says("is not taken up: its roots do not lead to the certificates that are in use"));
  EXPECT_EQ(signer(), third.certificate().pem());
  EXPECT_THAT(metrics(), HasSubstr("culvert_ca_refused 1\n"));
  std::this_thread::sleep_for(std::chrono::seconds(2));  // until the server shows its new certificate
  install(third, root2);
  until([&] { return roots() == root2; }, "the old root is gone");
  EXPECT_THAT(metrics(), HasSubstr("culvert_ca_refused 0\n"));
}

// As many roots that companies make: without a name of SPIFFE's.
tls::Authority nameless_root(const std::string& folder) {
  const std::string path = folder + "/nameless";
  const std::string command =
      "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /O=company -days 2 -addext "
      "keyUsage=critical,keyCertSign,cRLSign -keyout " +
      path + ".key -out " + path + ".pem 2>/dev/null";
  EXPECT_EQ(std::system(command.c_str()), 0) << command;
  return *tls::Authority::load(read_file(path + ".pem").value(), read_file(path + ".key").value());
}

// Certificates, configuration, and which CA is taken up: all of them follow MeshConfig, and the name of the root where it has one.
TEST_F(Ca, TheTrustDomainChangesWhileItRuns) {
  const std::string two_web = "spiffe://two.example/ns/shop/sa/web";
  const auto mesh_config = [this](const std::string& trust_domain) {
    write("mesh.yaml",
          "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata: {mesh: 'trustDomain: " +
              trust_domain + "'}\n");
  };
  const auto nameless = nameless_root(folder), two = *tls::Authority::make_root("two.example"),
             three = *tls::Authority::make_root("three.example");
  const std::string root0 = nameless.certificate().pem(), root2 = two.certificate().pem(), root3 = three.certificate().pem();
  write("a.yaml", pod("a", "n1", "10.0.0.1"));
  environment["CULVERT_ROOT_OVERLAP"] = "1s";
  install(nameless, root0);
  ASSERT_TRUE(start());
  EXPECT_TRUE(sign(kToken1, kWeb).ended.ok());

  mesh_config("two.example");
  EXPECT_TRUE(says("signs for another trust domain\ttrust_domain=\"two.example\""));
  EXPECT_TRUE(sign(kToken1, two_web).ended.ok());
  EXPECT_EQ(sign(kToken1, kWeb).ended.code, 16);
  EXPECT_THAT(page("/debug/config_dump"), HasSubstr(R"("trustDomain":"two.example")"));

  install(two, root0 + root2);
  EXPECT_TRUE(says("\tserial=\"" + two.certificate().serial())) << "a CA of that trust domain is taken up";
  EXPECT_EQ(sign(kToken1, two_web).chain.back(), root0 + root2);

  remove("mesh.yaml");
  install(three, root2 + root3);
  EXPECT_TRUE(says("its root is of spiffe://three.example, and the trust domain is set to two.example"));
  EXPECT_TRUE(sign(kToken1, two_web).ended.ok()) << "which its root says";

  mesh_config("three.example");
  EXPECT_TRUE(says("the mesh stays two.example until the CA is one of three.example"));
  EXPECT_TRUE(sign(kToken1, two_web).ended.ok());
  install(three, root2 + root3);
  EXPECT_TRUE(says("signs for another trust domain\ttrust_domain=\"three.example\""));
  EXPECT_TRUE(sign(kToken1, "spiffe://three.example/ns/shop/sa/web").ended.ok());
  EXPECT_EQ(sign(kToken1, two_web).ended.code, 16);
}

// A root of culvertd's own with a life of seconds: replaced before it ends. Who got his roots within the overlap trusts every new certificate, and who got
// them now every old one that has not ended.
TEST_F(Ca, ARootOfItsOwnIsReplacedBeforeItEnds) {
  using std::chrono::seconds;
  using std::chrono::steady_clock;
  write("a.yaml", pod("a", "n1", "10.0.0.1"));
  environment = {{"CITADEL_SELF_SIGNED_CA_CERT_TTL", "10s"},
                 {"CITADEL_SELF_SIGNED_ROOT_CERT_CHECK_INTERVAL", "1s"},
                 {"CULVERT_ROOT_OVERLAP", "2s"},
                 {"MAX_WORKLOAD_CERT_TTL", "2s"},
                 {"DEFAULT_WORKLOAD_CERT_TTL", "2s"}};
  ASSERT_TRUE(start());
  const auto trusts = [](const std::string& bundle, const tls::Certificate& leaf) {
    return tls::check_chain(std::span(&leaf, 1), *tls::Certificate::parse_all(bundle)).has_value();
  };
  std::vector<std::string> bundles;
  std::vector<tls::Certificate> leaves;
  auto changed = steady_clock::now();
  for (const auto end = steady_clock::now() + seconds(13); steady_clock::now() < end;) {
    const Signed got = sign(kToken1, kWeb);
    ASSERT_TRUE(got.ended.ok()) << got.ended.describe();
    if (bundles.empty() || bundles.back() != got.chain.back()) {
      bundles.push_back(got.chain.back());
      changed = steady_clock::now();
    }
    leaves.push_back(*tls::Certificate::parse(got.chain[0]));
    if (bundles.size() > 1 && steady_clock::now() < changed + std::chrono::milliseconds(1500)) {
      ASSERT_TRUE(trusts(bundles[bundles.size() - 2], leaves.back())) << "who has the roots of a moment ago";
    }
    std::erase_if(leaves, [](const auto& leaf) {
      return leaf.not_after() <= std::chrono::system_clock::now() + std::chrono::milliseconds(500);
    });
    for (const auto& leaf : leaves) ASSERT_TRUE(trusts(bundles.back(), leaf)) << "who has the roots of now";
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }

  EXPECT_GE(bundles.size(), 3U) << "one, both, the other";
  EXPECT_TRUE(says("replaces the root certificate: the next one signs"));
}

TEST_F(Ca, AnAuthorityInFrontAsksForAllOfTheTrustDomain) {
  std::ofstream(folder + "/tokens", std::ios::app) << "token-of-an-authority *\n";
  ASSERT_TRUE(start());

  EXPECT_TRUE(sign("token-of-an-authority", kWeb).ended.ok());
  EXPECT_EQ(sign("token-of-an-authority", "spiffe://evil/ns/shop/sa/web").ended.code, 16);
  auto stream = connect("token-of-an-authority");
  stream->subscribe("type.googleapis.com/istio.workload.Address");
  until([&] { return stream->ended.has_value(); }, "no configuration");
  EXPECT_EQ(stream->ended->code, 7);
}

TEST_F(Ca, ItsMemoryIsNobodysToDump) {
  ASSERT_TRUE(start());
  std::ifstream limits("/proc/" + std::to_string(pid) + "/limits");
  std::string line;
  while (std::getline(limits, line) && !line.starts_with("Max core file size")) {}
  EXPECT_THAT(line, testing::ContainsRegex("Max core file size +0 +0"));
}

}  // namespace
}  // namespace culvert::test
