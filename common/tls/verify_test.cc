#include "common/tls/verify.h"

#include <gtest/gtest.h>

namespace culvert::tls {
namespace {

// A peer that has proven nothing chooses what its certificate says: our log is not to be filled with it.
TEST(Satisfies, SaysLittleOfACertificateThatSaysMuch) {
  for (const auto kind : {Demand::Kind::kExpected, Demand::Kind::kTrustDomain}) {
    for (const auto& names : {std::vector<std::string>(1000, "spiffe://elsewhere/ns/default/sa/a"),
                              std::vector<std::string>{std::string(100'000, 'x')}}) {
      Demand demand{.kind = kind, .expected = {}, .trust_domain = "cluster.local", .identity = {}, .complaint = {}};

      EXPECT_FALSE(satisfies(names, demand));

      EXPECT_LT(demand.complaint.size(), 500u);
      EXPECT_TRUE(demand.complaint.starts_with("the peer presented " + names.front().substr(0, 30))) << demand.complaint;
      EXPECT_NE(demand.complaint.find("…, expected "), std::string::npos) << demand.complaint;
    }
  }
}

}  // namespace
}  // namespace culvert::tls
