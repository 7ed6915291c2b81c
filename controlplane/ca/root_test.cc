#include "controlplane/ca/root.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <optional>
#include <vector>

#include "controlplane/ca/files.h"

namespace culvert::controlplane {
namespace {

using ::testing::HasSubstr;

struct RootTest : ::testing::Test {
  RootTest() {
    char name[] = "/tmp/culvert-ca-XXXXXX";
    folder = std::string(::mkdtemp(name)) + "/data";
  }
  ~RootTest() override { std::filesystem::remove_all(std::filesystem::path(folder).parent_path()); }
  static unsigned mode(const std::string& path) {
    struct stat about{};
    return ::stat(path.c_str(), &about) == 0 ? about.st_mode & 07777 : 0;
  }

  static std::string read(const std::string& path) {
    std::ifstream file(path);
    return std::string((std::istreambuf_iterator<char>(file)), {});
  }

  std::string folder;
};

TEST_F(RootTest, IsMadeOnceAndKept) {
  const auto made = load_or_make_ca(folder, "cluster.local");
  ASSERT_TRUE(made) << made.error().text;
  const auto loaded = load_or_make_ca(folder, "cluster.local");
  ASSERT_TRUE(loaded) << loaded.error().text;

  EXPECT_EQ(loaded->authority.certificate().serial(), made->authority.certificate().serial());
  EXPECT_TRUE(made->authority.certificate().is_ca());
  EXPECT_GT(made->authority.certificate().not_after(), std::chrono::system_clock::now() + std::chrono::hours(24 * 3640));
  EXPECT_EQ(mode(folder), 0700U);
  EXPECT_EQ(mode(DataFiles(folder).ca_key), 0600U);
  EXPECT_EQ(mode(DataFiles(folder).root), 0644U);
}

TEST_F(RootTest, AKeyThatOthersCanReadIsRefused) {
  ASSERT_TRUE(load_or_make_ca(folder, "cluster.local"));
  ::chmod(DataFiles(folder).ca_key.c_str(), 0640);

  const auto loaded = load_or_make_ca(folder, "cluster.local");

  ASSERT_FALSE(loaded);
  EXPECT_THAT(loaded.error().text, HasSubstr("mode 0640 lets others at it (chmod 0600"));
}

TEST_F(RootTest, ALostCertificateIsAnErrorAndNoNewRoot) {
  ASSERT_TRUE(load_or_make_ca(folder, "cluster.local"));
  std::filesystem::remove(DataFiles(folder).ca_certificate);

  EXPECT_FALSE(load_or_make_ca(folder, "cluster.local"));
}

TEST_F(RootTest, TheServerProvesItsNames) {
  const auto ca = load_or_make_ca(folder, "cluster.local");
  ASSERT_TRUE(ca);
  const std::vector<std::string> names = {"culvertd.istio-system.svc", "localhost", "127.0.0.1"};

  ASSERT_TRUE(write_server_certificate(ca->authority, folder, names));

  const DataFiles files(folder);
  EXPECT_EQ(mode(files.server_key), 0600U);
  std::ifstream file(files.server_certificate);
  const std::string pem((std::istreambuf_iterator<char>(file)), {});
  const auto chain = tls::Certificate::parse_all(pem);
  ASSERT_TRUE(chain) << chain.error().text;
  EXPECT_THAT(chain->front().dns_sans(), ::testing::ElementsAre("culvertd.istio-system.svc", "localhost"));
}

TEST_F(RootTest, ALostKeyIsAnErrorAndNoNewRoot) {
  ASSERT_TRUE(load_or_make_ca(folder, "cluster.local"));
  const std::string root = read(DataFiles(folder).root);
  std::filesystem::remove(DataFiles(folder).ca_key);

  const auto loaded = load_or_make_ca(folder, "cluster.local");

  ASSERT_FALSE(loaded);
  EXPECT_THAT(loaded.error().text, HasSubstr("bring the key back, or remove root-cert.pem"));
  EXPECT_EQ(read(DataFiles(folder).root), root);
}

// Certificate, key, root: a start that was cut short between two of them.
TEST_F(RootTest, AStartThatWasCutShortBeginsAnew) {
  ASSERT_TRUE(make_private_folder(folder));
  std::ofstream(DataFiles(folder).ca_certificate) << "of a CA whose key was never written";
  std::ofstream(DataFiles(folder).ca_key + ".new") << "half a k";

  ASSERT_TRUE(load_or_make_ca(folder, "cluster.local"));
  std::filesystem::remove(DataFiles(folder).root);
  const auto loaded = load_or_make_ca(folder, "cluster.local");

  ASSERT_TRUE(loaded) << loaded.error().text;
  EXPECT_EQ(read(DataFiles(folder).root), loaded->authority.certificate().pem());
  EXPECT_FALSE(std::filesystem::exists(DataFiles(folder).ca_key + ".new"));
}

TEST_F(RootTest, ARootOfAnotherTrustDomainIsRefused) {
  ASSERT_TRUE(load_or_make_ca(folder, "one"));

  const auto loaded = load_or_make_ca(folder, "two");

  ASSERT_FALSE(loaded);
  EXPECT_THAT(loaded.error().text, HasSubstr("its root is of spiffe://one, and the trust domain is set to two"));
}

TEST_F(RootTest, TheUsersOwnMayBeAnIntermediateAndTrustSeveralRoots) {
  const auto root = *tls::Authority::make_root("cluster.local"), other = *tls::Authority::make_root("cluster.local");
  const auto between = *root.make_intermediate("between", std::chrono::hours(24));
  ASSERT_TRUE(make_private_folder(folder));
  const DataFiles files(folder);
  ASSERT_TRUE(write_file(files.ca_key, between.key_pair().key().private_pem(), Access::kOwner));
  ASSERT_TRUE(write_file(files.ca_certificate, between.certificate().pem(), Access::kEverybody));
  const std::string roots = other.certificate().pem() + root.certificate().pem();
  ASSERT_TRUE(write_file(files.root, roots, Access::kEverybody));

  const auto ca = load_or_make_ca(folder, "cluster.local");

  ASSERT_TRUE(ca) << ca.error().text;
  EXPECT_EQ(ca->roots_pem, roots);
  EXPECT_EQ(read(files.root), roots) << "left as it is";
  EXPECT_EQ(ca->authority.intermediates().size(), 1U);
  EXPECT_FALSE(*rotate_root(folder, "cluster.local", {.overlap = std::chrono::hours(10'000)})) << "it is not ours to replace";
}

// While one CA is replaced by the other, both roots are trusted, in whichever order.
TEST_F(RootTest, TheTrustDomainIsThatOfTheRootThatItSignsUnder) {
  const auto one = *tls::Authority::make_root("one"), two = *tls::Authority::make_root("two");
  for (const std::string& roots :
       {one.certificate().pem() + two.certificate().pem(), two.certificate().pem() + one.certificate().pem()}) {
    CaTexts texts;
    texts.set("ca-key.pem", two.key_pair().key().private_pem());
    texts.set("ca-cert.pem", two.certificate().pem());
    texts.set("root-cert.pem", roots);

    const auto ca = read_ca(texts, "two"), other = read_ca(texts, "one");

    EXPECT_TRUE(ca) << ca.error().text;
    ASSERT_FALSE(other);
    EXPECT_THAT(other.error().text, HasSubstr("its root is of spiffe://two, and the trust domain is set to one"));
  }
}

TEST_F(RootTest, ARootOfOurOwnIsReplacedWhenItIsTime) {
  using std::chrono::hours;
  const auto first = load_or_make_ca(folder, "cluster.local", {.root_lifetime = hours(100)});
  ASSERT_TRUE(first) << first.error().text;
  const auto rotate = [&](hours overlap, hours longest_leaf) {
    return *rotate_root(folder, "cluster.local", {.overlap = overlap, .longest_leaf = longest_leaf});
  };
  EXPECT_FALSE(rotate(hours(1), hours(1)));

  EXPECT_TRUE(rotate(hours(200), hours(1))) << "there is no time to lose";
  const auto announced = load_ca(folder, "cluster.local");
  EXPECT_FALSE(rotate(hours(200), hours(1)));
  EXPECT_TRUE(rotate(hours(0), hours(1)));
  const auto switched = load_ca(folder, "cluster.local");
  EXPECT_FALSE(rotate(hours(0), hours(1)));
  EXPECT_TRUE(rotate(hours(0), hours(0)));
  const auto retired = load_ca(folder, "cluster.local");

  ASSERT_TRUE(announced && switched && retired);
  EXPECT_EQ(announced->authority.certificate().pem(), first->authority.certificate().pem());
  EXPECT_EQ(tls::Certificate::parse_all(announced->roots_pem)->size(), 2U);
  EXPECT_EQ(switched->roots_pem, announced->roots_pem);
  EXPECT_EQ(switched->roots_pem, first->roots_pem + switched->authority.certificate().pem());
  EXPECT_EQ(retired->roots_pem, switched->authority.certificate().pem());
  EXPECT_EQ(mode(DataFiles(folder).ca_key), 0600U);
  EXPECT_FALSE(std::filesystem::exists(folder + "/next-key.pem"));
}

TEST_F(RootTest, AFolderIsOneProcesssAtATime) {
  ASSERT_TRUE(make_private_folder(folder));
  {
    const auto first = lock_folder(folder);
    ASSERT_TRUE(first) << first.error().text;
    const auto second = lock_folder(folder);
    ASSERT_FALSE(second);
    EXPECT_THAT(second.error().text, HasSubstr("is another culvertd's"));
  }
  EXPECT_TRUE(lock_folder(folder));
}

struct ServerCertificate : RootTest {
  void SetUp() override {
    authority.emplace(load_or_make_ca(folder, "cluster.local")->authority);
    ASSERT_TRUE(write_server_certificate(*authority, folder, names));
  }

  const std::vector<std::string> names = {"localhost"};
  std::optional<tls::Authority> authority;
};

TEST_F(ServerCertificate, ARenewalKeepsTheKey) {
  const std::string key = read(DataFiles(folder).server_key), before = read(DataFiles(folder).server_certificate);

  ASSERT_TRUE(write_server_certificate(*authority, folder, names));

  EXPECT_EQ(read(DataFiles(folder).server_key), key);
  EXPECT_NE(read(DataFiles(folder).server_certificate), before);
  EXPECT_TRUE(read_server_certificate(*authority, folder));
}

TEST_F(ServerCertificate, AKeyThatCannotBeUsedIsMadeAnew) {
  std::ofstream(DataFiles(folder).server_key) << "no key";

  ASSERT_TRUE(write_server_certificate(*authority, folder, names));

  EXPECT_TRUE(read_server_certificate(*authority, folder));
}

TEST_F(ServerCertificate, OnDiskItIsOursAndValidOrNothing) {
  const auto now = std::chrono::system_clock::now();
  EXPECT_TRUE(read_server_certificate(*authority, folder, now));
  EXPECT_FALSE(read_server_certificate(*authority, folder, now + kServerLifetime));
  EXPECT_FALSE(read_server_certificate(*authority, folder, now - std::chrono::hours(1)));
  EXPECT_FALSE(read_server_certificate(*tls::Authority::make_root("cluster.local"), folder, now));

  std::filesystem::remove(DataFiles(folder).server_key);
  EXPECT_FALSE(read_server_certificate(*authority, folder, now));
}

TEST_F(ServerCertificate, IsDueAtHalfItsLifeAndWhenTheClockWentBack) {
  const auto certificate = read_server_certificate(*authority, folder);
  ASSERT_TRUE(certificate);
  const auto now = std::chrono::system_clock::now();

  EXPECT_FALSE(is_due(*certificate, now));
  EXPECT_FALSE(is_due(*certificate, now + std::chrono::hours(11)));
  EXPECT_TRUE(is_due(*certificate, now + std::chrono::hours(13)));
  EXPECT_TRUE(is_due(*certificate, now - std::chrono::hours(1)));
}

// A disk that takes nothing, as far as this process is concerned.
TEST_F(ServerCertificate, AFullDiskLeavesWhatIsThereWhole) {
  const std::string before = read(DataFiles(folder).server_certificate);
  const auto old_handler = ::signal(SIGXFSZ, SIG_IGN);
  rlimit old_limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old_limit), 0);
  const rlimit nothing{0, old_limit.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &nothing), 0);

  const auto written = write_server_certificate(*authority, folder, names);
  const auto loaded = load_or_make_ca(folder, "cluster.local");
  const auto fresh = load_or_make_ca(folder + "/other", "cluster.local");

  ::setrlimit(RLIMIT_FSIZE, &old_limit);
  ::signal(SIGXFSZ, old_handler);
  ASSERT_FALSE(written);
  EXPECT_THAT(written.error().text, HasSubstr("writing"));
  EXPECT_EQ(read(DataFiles(folder).server_certificate), before);
  EXPECT_TRUE(read_server_certificate(*authority, folder)) << "so that culvertd goes on with it";
  EXPECT_TRUE(loaded) << "nothing had to be written";
  EXPECT_FALSE(fresh);
  EXPECT_TRUE(load_or_make_ca(folder + "/other", "cluster.local")) << "once there is room";
}

}  // namespace
}  // namespace culvert::controlplane
