#include "cni/agent/probes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace culvert::agent {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

config::Pod probed(std::vector<config::Dialled> dialled) {
  config::Pod pod;
  pod.addresses = {*IpAddress::parse("10.0.0.2"), *IpAddress::parse("fd00::2")};
  pod.spec.on_node->dialled = std::move(dialled);
  return pod;
}

TEST(Probes, AreLetInAtThePortsThatThePodNames) {
  const auto pod = probed({{"a", 8080, ""}, {"a", 9000, ""}, {"b", 8080, ""}, {"b", 80, "10.0.0.2"}, {"b", 81, "FD00:0::2"}});

  EXPECT_THAT(probe_ports(pod), ElementsAre(80, 81, 8080, 9000));
  EXPECT_THAT(probe_notes(pod), IsEmpty());
  EXPECT_THAT(probe_ports(probed({})), IsEmpty());
}

TEST(Probes, OpenNoPortWhenTheyAreSomebodyElses) {
  const auto pod = probed({{"a", 8080, ""}, {"a", 5432, "10.0.0.9"}, {"b", 443, "db.example"}});

  EXPECT_THAT(probe_ports(pod), ElementsAre(8080));
  EXPECT_THAT(probe_notes(pod), ElementsAre(HasSubstr("container a has the kubelet dial another host, 10.0.0.9 port 5432"),
                                            HasSubstr("container b has the kubelet dial another host, db.example port 443")));
}

TEST(Probes, FillNoMoreOfTheNodesMapThanTheirShare) {
  std::vector<config::Dialled> many;
  for (int i = 0; i < 100; i++) many.push_back({"a", static_cast<std::uint16_t>(8000 + i), ""});

  EXPECT_EQ(probe_ports(probed(many)).size(), kMostProbePorts);
  EXPECT_THAT(probe_notes(probed(many)), ElementsAre(HasSubstr("more than 64 ports")));
  for (auto& one : many) one.host = "10.0.0.9";
  EXPECT_EQ(probe_notes(probed(many)).size(), kMostProbePorts);
}

}  // namespace
}  // namespace culvert::agent
