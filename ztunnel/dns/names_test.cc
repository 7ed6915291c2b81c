#include "ztunnel/dns/names.h"

#include <gtest/gtest.h>

namespace culvert::ztunnel::dns {
namespace {

std::vector<Candidate> of(std::string_view name) { return candidates(name, "shop", "cluster.local"); }

TEST(DnsNames, ExpandsShortNamesAsKubernetesDoes) {
  EXPECT_EQ(of("web"), (std::vector<Candidate>{{"web"}, {"web.shop.svc.cluster.local"}}));
  EXPECT_EQ(of("web.bank"),
            (std::vector<Candidate>{{"web.bank"}, {"web.bank.svc.cluster.local"}, {"web.bank.shop.svc.cluster.local"}}));
  EXPECT_EQ(of("web.bank.svc"),
            (std::vector<Candidate>{{"web.bank.svc"}, {"web.bank.svc.cluster.local"}, {"web.bank.svc.svc.cluster.local"}}));
  EXPECT_EQ(of("a.b.c"), (std::vector<Candidate>{{"a.b.c"}, {"a.b.c.svc.cluster.local"}}));
  EXPECT_EQ(of("web-0.web.bank.svc"), (std::vector<Candidate>{{"web-0.web.bank.svc"}, {"web-0.web.bank.svc.cluster.local"}}));
  EXPECT_EQ(of("a.b.c.d.e"), (std::vector<Candidate>{{"a.b.c.d.e"}}));
}

TEST(DnsNames, TakesSearchDomainsOff) {
  const auto names = of("www.google.com.shop.svc.cluster.local");

  ASSERT_GE(names.size(), 2u);
  EXPECT_EQ(names[0], (Candidate{"www.google.com.shop.svc.cluster.local"}));
  EXPECT_EQ(names[1], (Candidate{"www.google.com", true}));
  EXPECT_NE(std::ranges::find(names, Candidate{"www.google.com.shop", true}), names.end());
  EXPECT_NE(std::ranges::find(names, Candidate{"www.google.com.shop.svc", true}), names.end());
}

TEST(DnsNames, AFullNameIsItsOwnFirstCandidate) {
  EXPECT_EQ(of("web.shop.svc.cluster.local").front(), (Candidate{"web.shop.svc.cluster.local"}));
}

TEST(DnsNames, ADomainAloneIsNotStripped) {
  EXPECT_EQ(
      of("cluster.local"),
      (std::vector<Candidate>{{"cluster.local"}, {"cluster.local.svc.cluster.local"}, {"cluster.local.shop.svc.cluster.local"}}));
  for (const auto& each : of("xcluster.local")) EXPECT_FALSE(each.stripped) << each.name;
}

TEST(DnsNames, WildcardsGoFromNarrowToWide) {
  EXPECT_EQ(wildcards("a.b.c"), (std::vector<std::string>{"*.b.c", "*.c"}));
  EXPECT_TRUE(wildcards("a").empty());
}

}  // namespace
}  // namespace culvert::ztunnel::dns
