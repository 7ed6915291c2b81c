#include "controlplane/ca/spiffe_bundle.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "common/base/base64.h"
#include "common/tls/certificate.h"

namespace culvert::controlplane {
namespace {

namespace json = boost::json;

// Made and taken apart by openssl.
const std::string kRsa =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIC/zCCAeegAwIBAgIUUybwSiKk8AWqNZma7HYY6bx64kUwDQYJKoZIhvcNAQEL\n"
    "BQAwDjEMMAoGA1UEAwwDcnNhMCAXDTI2MTEyNjE0Mzc1OVoYDzIxMjYxMTAyMTQz\n"
    "NzU5WjAOMQwwCgYDVQQDDANyc2EwggEiMA0GCSqGSIb3DQEBAQUAA4IBDwAwggEK\n"
    "AoIBAQDCzmlv2+l6Q1hRqwLAkcrFrQRHBIbrnuX70KSYpYZ6FzZ5KvANcUTm/JfN\n"
    "hSpjXM061qDjo2hvVLv1RqhdMSrDWgi4jlwBMxA1l4uIz7V9fRcNcsGtVF0sWlvB\n"
    "esku92uizid4Z4uTpJIhyrhUjE3Y/DQuh8pwH8LYBUbDZwDhovI+/RtmzpzBGXh4\n"
    "bJBEqT7lpjf2rKd5veJXwG5nMlNa9iUY6zkn6GSQOnWdLI+H0QzqASJAsZm7T3gc\n"
    "1HE8fRPuWuPRXmQDwF8GYOlGAAwrDv5fWVqlXPL0VQv2nsP0NnShbtGzDJ9U9tRQ\n"
    "fqjrpV0Rda4NjtiWAbEY0GtJ2NURAgMBAAGjUzBRMB0GA1UdDgQWBBTHLm3LG26h\n"
    "hY4oBmefEFar1Jyh8zAfBgNVHSMEGDAWgBTHLm3LG26hhY4oBmefEFar1Jyh8zAP\n"
    "BgNVHRMBAf8EBTADAQH/MA0GCSqGSIb3DQEBCwUAA4IBAQCfGL3QFkbcunDNvwlp\n"
    "kPuM973V0VpO1D3uB/BlicS4zP1wS3hkVHkzHSic0fE5Z/K5UzGIjBZ0CF6XcZby\n"
    "HFOvtA3jfJjNqU14mym1MkZQKC26iY1y7G7RX3AIBYAsYXB1s40BsdHwCz6ou6GA\n"
    "jkRVcjYMoPlaowmVxwWVaxS2WcvEdSM+FFFEzEpv7iH2QqsQJN6v34AKpa2LbFb2\n"
    "oYjsZuDWG0LcckH07BI7QXPjjnGQn6QReUWFtTWLeWSaCgsrQV59RjljGciSEuWF\n"
    "2JrGcb5EGAtPYL/QTYKw3hBxHOWT8U0QhxOdnKF0wJTLr8x4MbLngKNx5aKNjVLD\n"
    "Dbnr\n"
    "-----END CERTIFICATE-----\n";
const std::string kEc =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBrzCCATSgAwIBAgIUYM9FeXCxvEBqpLupc8YSQUyEB+wwCgYIKoZIzj0EAwIw\n"
    "DTELMAkGA1UEAwwCZWMwIBcNMjYxMTI2MTQzNzU5WhgPMjEyNjExMDIxNDM3NTla\n"
    "MA0xCzAJBgNVBAMMAmVjMHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEth5N6CZneKcz\n"
    "/NjyiYpLnX7P77fpWlsJQ2A/frd2iYOrm/CL2zVnstdRTMiZfceL3VCSwvTmXind\n"
    "dtWv8I/X/A4W3uPsZmwdbvnLUVAsAY7Yu+Bm3SlRTDbLD6H5BgH3o1MwUTAdBgNV\n"
    "HQ4EFgQUw6o8S3iyTVi6C/3ejW6+4GUck8gwHwYDVR0jBBgwFoAUw6o8S3iyTVi6\n"
    "C/3ejW6+4GUck8gwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNpADBmAjEA\n"
    "pSqBQaRlXOXY1dOIN8S4FGyrSZNEGb6Y4xY+72cM65nEAmJvDYblsL8UV+ocF88R\n"
    "AjEAghSO9CgMYnRyPdMgfVi9/fnIII9PZsBGaJ91BMLScdkLiNoLZ1WUH21QTcJZ\n"
    "mLJ5\n"
    "-----END CERTIFICATE-----\n";
const std::string kEd25519 =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBMDCB46ADAgECAhRmdA5hOg1nvWadunQaRADtqpkgYTAFBgMrZXAwDTELMAkG\n"
    "A1UEAwwCZWQwIBcNMjYxMTI2MTQzNzU5WhgPMjEyNjExMDIxNDM3NTlaMA0xCzAJ\n"
    "BgNVBAMMAmVkMCowBQYDK2VwAyEAu9OLDtc5xeirnUVgtdujWcOJPiauEgYWEfhB\n"
    "wR17kZGjUzBRMB0GA1UdDgQWBBTQYm1HDXh0fvQQ0F4htS4AQdaYcjAfBgNVHSME\n"
    "GDAWgBTQYm1HDXh0fvQQ0F4htS4AQdaYcjAPBgNVHRMBAf8EBTADAQH/MAUGAytl\n"
    "cANBAAEYBQFrfBdj3buXMZPGc7U22ozAHf1NKz/zRR6kVFtBJrgIgXmDUt/mGtAY\n"
    "NYYD1XLjqw9plbNnYIuKDBfEwws=\n"
    "-----END CERTIFICATE-----\n";

TEST(SpiffeBundle, HoldsEachRootAsItsKeyAndCertificate) {
  const json::value bundle = json::parse(spiffe_bundle(kEc + kRsa, 42));

  EXPECT_EQ(bundle.at("spiffe_sequence").as_int64(), 42);
  EXPECT_GT(bundle.at("spiffe_refresh_hint").as_int64(), 0);
  const json::array& keys = bundle.at("keys").as_array();
  ASSERT_EQ(keys.size(), 2U);
  EXPECT_EQ(keys[0].at("use").as_string(), "x509-svid");
  EXPECT_EQ(keys[0].at("kty").as_string(), "EC");
  EXPECT_EQ(keys[0].at("crv").as_string(), "P-384");
  EXPECT_EQ(keys[0].at("x").as_string(), "th5N6CZneKcz_NjyiYpLnX7P77fpWlsJQ2A_frd2iYOrm_CL2zVnstdRTMiZfceL");
  EXPECT_EQ(keys[0].at("y").as_string(), "3VCSwvTmXinddtWv8I_X_A4W3uPsZmwdbvnLUVAsAY7Yu-Bm3SlRTDbLD6H5BgH3");
  EXPECT_EQ(keys[1].at("kty").as_string(), "RSA");
  EXPECT_EQ(keys[1].at("e").as_string(), "AQAB");
  EXPECT_EQ(keys[1].at("n").as_string(),
            "ws5pb9vpekNYUasCwJHKxa0ERwSG657l-9CkmKWGehc2eSrwDXFE5vyXzYUqY1zNOtag46Nob1S79UaoXTEqw1oIuI5cATMQNZeL"
            "iM-1fX0XDXLBrVRdLFpbwXrJLvdros4neGeLk6SSIcq4VIxN2Pw0LofKcB_C2AVGw2cA4aLyPv0bZs6cwRl4eGyQRKk-5aY39qyn"
            "eb3iV8BuZzJTWvYlGOs5J-hkkDp1nSyPh9EM6gEiQLGZu094HNRxPH0T7lrj0V5kA8BfBmDpRgAMKw7-X1lapVzy9FUL9p7D9DZ0"
            "oW7RswyfVPbUUH6o66VdEXWuDY7YlgGxGNBrSdjVEQ");
  const std::string der = *from_base64(keys[1].at("x5c").at(0).as_string());
  EXPECT_EQ(tls::Certificate::parse_der(std::as_bytes(std::span(der)))->pem(), kRsa);
}

TEST(SpiffeBundle, LeavesOutWhatItCannotSay) {
  EXPECT_EQ(json::parse(spiffe_bundle(kEd25519 + kEc, 1)).at("keys").as_array().size(), 1U);
  EXPECT_EQ(json::parse(spiffe_bundle("", 1)).at("keys").as_array().size(), 0U);
}

}  // namespace
}  // namespace culvert::controlplane
