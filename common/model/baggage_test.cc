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

TEST(Baggage, ReadsRepeatedHeadersAndTheLastValueWins) {
  Baggage read;
  read.add("k8s.cluster.name=c1,k8s.namespace.name=a,k8s.deployment.name=d,unknown=1,broken,,=x");
  read.add("k8s.namespace.name=b,service.name=s=1,service.version=,cloud.region=r");

  EXPECT_EQ(read, (Baggage{.cluster_id = "c1",
                           .name_space = "b",
                           .workload_name = "d",
                           .workload_type = "deployment",
                           .canonical_name = "s=1",
                           .region = "r"}));
}

}  // namespace
}  // namespace culvert::model
