#include "controlplane/ca/service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "proto/ca.pb.h"

namespace culvert::controlplane {
namespace {

using testing::HasSubstr;

istio::v1::auth::IstioCertificateRequest request() {
  istio::v1::auth::IstioCertificateRequest message;
  message.set_csr("PEM");
  message.set_validity_duration(60);
  (*message.mutable_metadata()->mutable_fields())["ImpersonatedIdentity"].set_string_value("spiffe://td/ns/a/sa/b");
  return message;
}

TEST(CertificateRequest, SaysForWhomAndForHowLong) {
  const auto read = decode_certificate_request(request().SerializeAsString());
  ASSERT_TRUE(read) << read.error().text;
  EXPECT_EQ(read->csr_pem, "PEM");
  EXPECT_EQ(read->lifetime_seconds, 60);
  EXPECT_EQ(read->identity, "spiffe://td/ns/a/sa/b");
}

TEST(CertificateRequest, OfAnotherSignerIsRefusedByName) {
  auto message = request();
  (*message.mutable_metadata()->mutable_fields())["CertSigner"].set_string_value("acme");
  EXPECT_THAT(decode_certificate_request(message.SerializeAsString()).error().text, HasSubstr("CertSigner: the signer acme"));
}

}  // namespace
}  // namespace culvert::controlplane
