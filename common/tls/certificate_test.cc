#include "common/tls/certificate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/tls/authority.h"

namespace culvert::tls {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

const Identity kClient = {"cluster.local", "default", "client"};

const char* const kWithSubject =
    "-----BEGIN CERTIFICATE REQUEST-----\n"
    "MIIBHTCBxAIBADAZMRcwFQYDVQQKDA5zeXN0ZW06bWFzdGVyczBZMBMGByqGSM49\n"
    "AgEGCCqGSM49AwEHA0IABHgHAcIYngFbRMv4wT+yq71gadWmS9+ZdejPLW7s/IdI\n"
    "riKnrmS9m2nYYE3sG/bwJ0jdShZrs9BgO0SW8J4Dk3igSTBHBgkqhkiG9w0BCQ4x\n"
    "OjA4MDYGA1UdEQQvMC2GK3NwaWZmZTovL2NsdXN0ZXIubG9jYWwvbnMvZGVmYXVs\n"
    "dC9zYS9jbGllbnQwCgYIKoZIzj0EAwIDSAAwRQIhALbSRam/YHJfAZ+jR0GyDVQC\n"
    "40awFpubKpxp9w+4Fz5EAiAX8QmqYBk09rpYDYFfDWEDqQMwLtosBOj+ny6YnXjG\n"
    "Bg==\n"
    "-----END CERTIFICATE REQUEST-----\n";
const char* const kWithHost =
    "-----BEGIN CERTIFICATE REQUEST-----\n"
    "MIIBCzCBsQIBADAAMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEeAcBwhieAVtE\n"
    "y/jBP7KrvWBp1aZL35l16M8tbuz8h0iuIqeuZL2badhgTewb9vAnSN1KFmuz0GA7\n"
    "RJbwngOTeKBPME0GCSqGSIb3DQEJDjFAMD4wPAYDVR0RBDUwM4Yrc3BpZmZlOi8v\n"
    "Y2x1c3Rlci5sb2NhbC9ucy9kZWZhdWx0L3NhL2NsaWVudIIEZXZpbDAKBggqhkjO\n"
    "PQQDAgNJADBGAiEAhki2+HloQDdOi20COwqFdN2a2RNtyBjTeJDLOKgDa/MCIQDo\n"
    "tfJI7UkUcv1oQfFb0MBMX5PUtuTxjLvGvRzEwyvoDw==\n"
    "-----END CERTIFICATE REQUEST-----\n";

TEST(Authority, SignsTheIdentityItWasToldNotTheOneAskedFor) {
  const Authority root = *Authority::make_root("cluster.local");
  const auto csr = make_csr(kClient);
  const auto request = CsrRequest::parse(csr->pem);
  ASSERT_TRUE(request) << request.error().text;
  EXPECT_THAT(request->uri_sans(), ElementsAre(kClient.uri()));
  const Identity other = {"cluster.local", "default", "other"};
  const auto now = std::chrono::system_clock::now();

  const auto leaf = root.sign(*request, other, 24h, now);

  ASSERT_TRUE(leaf) << leaf.error().text;
  EXPECT_EQ(leaf->identity(), other);
  EXPECT_FALSE(leaf->is_ca());
  EXPECT_TRUE(root.certificate().is_ca());
  EXPECT_NEAR(std::chrono::duration<double>(leaf->not_after() - now).count(), 86400, 1);
  EXPECT_NEAR(std::chrono::duration<double>(now - leaf->not_before()).count(), 120, 1);
  EXPECT_TRUE(KeyPair::make({*leaf}, csr->key));
}

TEST(Authority, TheTextOfALeafIsThatOfTheLeaf) {
  const Authority root = *Authority::make_root("cluster.local");
  const auto csr = make_csr(kClient);
  const auto now = std::chrono::system_clock::now();

  const auto text = root.sign_text(*CsrRequest::parse(csr->pem), kClient, 1h, now);

  ASSERT_TRUE(text) << text.error().text;
  const auto leaf = Certificate::parse(text->pem);
  ASSERT_TRUE(leaf) << leaf.error().text;
  EXPECT_EQ(leaf->identity(), kClient);
  EXPECT_EQ(text->serial, leaf->serial());
  EXPECT_EQ(text->expires, leaf->expires_at());
  EXPECT_TRUE(KeyPair::make({*leaf}, csr->key));
  EXPECT_TRUE(check_chain(std::span(&*leaf, 1), std::span(&root.certificate(), 1)));
}

TEST(Authority, AnIntermediateSignsForWhoTrustsTheRoot) {
  const Authority root = *Authority::make_root("cluster.local");
  const auto between = root.make_intermediate("between", 24h);
  ASSERT_TRUE(between) << between.error().text;

  const auto pair = between->make_workload(kClient, 1h);

  ASSERT_TRUE(pair) << pair.error().text;
  EXPECT_EQ(pair->chain().size(), 2U);
  EXPECT_EQ(between->certificate().common_name(), "between");
  EXPECT_TRUE(between->check_roots(std::span(&root.certificate(), 1)));
  const Authority other = *Authority::make_root("cluster.local");
  EXPECT_FALSE(between->check_roots(std::span(&other.certificate(), 1)));
}

TEST(Authority, ARequestIsPlainWhenItAsksForOneIdentityAndNothingElse) {
  const auto csr = CsrRequest::parse(make_csr(kClient)->pem);
  EXPECT_TRUE(csr->asks_only_for(kClient.uri()));
  EXPECT_FALSE(csr->asks_only_for("spiffe://cluster.local/ns/default/sa/other"));

  // openssl req -new -nodes -newkey ec:... : -subj /O=system:masters with the same name; and with a DNS name beside it.
  EXPECT_FALSE(CsrRequest::parse(kWithSubject)->asks_only_for(kClient.uri()));
  EXPECT_FALSE(CsrRequest::parse(kWithHost)->asks_only_for(kClient.uri()));
}

TEST(Authority, LeafEndsWithItsIssuerAtTheLatest) {
  const Authority root = *Authority::make_root("cluster.local", 1h);
  const auto pair = root.make_workload(kClient, 24h);
  EXPECT_EQ(pair->leaf().not_after(), root.certificate().not_after());
  EXPECT_FALSE(root.make_workload(kClient, 1h, std::chrono::system_clock::now() + 2h));
  EXPECT_FALSE(root.make_workload(kClient, 0s));
}

TEST(Authority, LoadsWhatItWroteAndRefusesAForeignKey) {
  const Authority root = *Authority::make_root("cluster.local");
  const auto again = Authority::load(root.certificate().pem(), root.key_pair().key().private_pem());
  ASSERT_TRUE(again) << again.error().text;
  EXPECT_TRUE(again->intermediates().empty());
  const Authority other = *Authority::make_root("cluster.local");
  EXPECT_FALSE(Authority::load(root.certificate().pem(), other.key_pair().key().private_pem()));
  const auto leaf = root.make_workload(kClient, 1h);
  const auto not_ca = Authority::load(leaf->leaf().pem(), leaf->key().private_pem());
  ASSERT_FALSE(not_ca);
  EXPECT_EQ(not_ca.error().text, kClient.uri() + " is not a CA certificate");
}

TEST(CsrRequest, RefusesAWeakKey) {
  const auto request = CsrRequest::parse(R"(-----BEGIN CERTIFICATE REQUEST-----
MIIBPzCBqQIBADAAMIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCklnGQFX6C
advh3aO7nYk9PKsmsj8Fnx2K4kB1HIZbwvHc0I+0769Ogd9i2Oi7jKZOuicCcIzK
ntspP9rtUDRDAWeC5fH9acuPL6MhD2P9pmNxUurMOnGuzeXL8BWWSlrb8+QyUDmZ
kDSTU8TT9nL75/nkWmmVaF8XsWV3QKCVTwIDAQABoAAwDQYJKoZIhvcNAQELBQAD
gYEAhLs2ifMn2hoRQL0uGURm4pZSXO5Xrq+tdG5EBZabkUM4lW7l9TrloTVqhvIE
08bkaGrmrz2t356V/xu56TpV4gBsv6MtW2K9uqX2UItL3+9Ips3VveVkdbG654eT
USircQI8GMxFFeOufpYadHTgil1y/gvSKxa08GZuL9qlSVg=
-----END CERTIFICATE REQUEST-----
)");

  ASSERT_FALSE(request);
  EXPECT_EQ(request.error().text,
            "reading a certificate request: a key of 1024 bits, which is too weak or too long (take P-256)");
}

TEST(CsrRequest, RefusesAForgedSignature) {
  std::string pem = make_csr(kClient)->pem;
  // Another key's request body under this one's armour cannot be made easily; a broken signature can.
  const auto at = pem.rfind("-----END") - 8;
  pem[at] = pem[at] == 'A' ? 'B' : 'A';
  EXPECT_FALSE(CsrRequest::parse(pem));
  EXPECT_FALSE(CsrRequest::parse(""));
}

TEST(Certificate, ShowsWhatConfigDumpPrints) {
  const auto time = std::chrono::system_clock::from_time_t(1'800'000'000);  // 2027-01-15T08:00:00Z
  const Authority root = *Authority::make_root("cluster.local", 24h, time);
  const Certificate leaf = root.make_workload(kClient, 1h, time)->leaf();

  EXPECT_EQ(leaf.valid_from(), "2027-01-15T07:58:00Z");
  EXPECT_EQ(leaf.expires_at(), "2027-01-15T09:00:00Z");
  EXPECT_THAT(leaf.serial(), testing::MatchesRegex("[1-9][0-9]{36,39}"));
  EXPECT_EQ(Certificate::parse(leaf.pem())->pem(), leaf.pem());
  EXPECT_EQ(leaf.subject(), kClient.uri());
}

TEST(Certificate, ReadsManyOrExactlyOne) {
  const Authority a = *Authority::make_root("cluster.local");
  const Authority b = *Authority::make_root("cluster.local");
  const std::string both = a.certificate().pem() + "# between\n" + b.certificate().pem();

  EXPECT_EQ(Roots::parse(both)->certificates().size(), 2U);
  EXPECT_EQ(Roots::parse(both)->pem(), a.certificate().pem() + b.certificate().pem());
  EXPECT_THAT(Certificate::parse(both).error().text, HasSubstr("more than 1 certificates"));
  EXPECT_FALSE(Certificate::parse(""));
  EXPECT_FALSE(Certificate::parse("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"));
  EXPECT_FALSE(Certificate::parse(both.substr(0, 200)));
  EXPECT_FALSE(Certificate::parse(std::string(kMaxPemBytes + 1, 'x')));
  std::string many;
  for (std::size_t i = 0; i <= kMaxChainLength; ++i) many += a.certificate().pem();
  EXPECT_FALSE(Certificate::parse_all(many));
}

TEST(PrivateKey, IsReadAsItWasWrittenAndNeverWithAPassPhrase) {
  const PrivateKey key = *PrivateKey::generate();
  EXPECT_EQ(PrivateKey::parse(key.private_pem())->private_pem(), key.private_pem());
  EXPECT_FALSE(PrivateKey::parse("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"));
}

}  // namespace
}  // namespace culvert::tls
