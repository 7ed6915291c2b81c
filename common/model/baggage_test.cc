#include "common/model/baggage.h"

#include <gtest/gtest.h>

namespace culvert::model {
namespace {

TEST(Baggage, DescribesAWorkloadInIstiosOrder) {
  Workload workload;
  workload.name_space = "default";
  workload.type = WorkloadType::kPod;
  workload.workload_name = "reviews";
  workload.canonical_name = "reviews";
  workload.canonical_revision = "v1";
  workload.locality = {"r1", "z1", ""};

  EXPECT_EQ(baggage(workload),
            "k8s.cluster.name=Kubernetes,k8s.namespace.name=default,k8s.pod.name=reviews,service.name=reviews,service.version=v1,"
            "cloud.region=r1,cloud.availability_zone=z1");
}

TEST(Baggage, LeavesOutWhatIsEmpty) {
  Workload workload;
  workload.name_space = "default";

  EXPECT_EQ(baggage(workload), "k8s.cluster.name=Kubernetes,k8s.namespace.name=default");
}

TEST(Baggage, IgnoresWhatItDoesNotKnowAndTheLastValueWins) {
  const auto read = Baggage::parse(
      " k8s.cluster.name = c1 "
      ",k8s.namespace.name=a,k8s.deployment.name=d,unknown=1,broken,,=x,k8s.namespace.name=b,service.name=s=1,"
      "service.version=,cloud.region=r");

  EXPECT_EQ(read, (Baggage{.cluster_id = "c1",
                           .name_space = "b",
                           .workload_name = "d",
                           .workload_type = "deployment",
                           .canonical_name = "s=1",
                           .region = "r"}));
}

TEST(Baggage, ReadsWhatItWrites) {
  for (const auto type : {WorkloadType::kDeployment, WorkloadType::kCronJob, WorkloadType::kPod, WorkloadType::kJob}) {
    Workload workload;
    workload.type = type;
    workload.workload_name = "w";

    EXPECT_EQ(Baggage::parse(baggage(workload)),
              (Baggage{.cluster_id = "Kubernetes", .workload_name = "w", .workload_type = std::string(name(type))}));
  }
}

TEST(Baggage, CutsWhatIsLongerThanAnyName) {
  EXPECT_EQ(Baggage::parse("service.name=" + std::string(60'000, 'x')).canonical_name, std::string(253, 'x'));
}

}  // namespace
}  // namespace culvert::model
