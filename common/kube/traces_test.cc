#include "common/kube/traces.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace culvert::kube {
namespace {

using ::testing::ElementsAre;

TEST(Traces, AreWhatCulvertdWritesByItself) {
  std::vector<std::string> paths;

  for (const Place& each : traces("mesh")) paths.push_back(each.path());

  const std::string bundle = "/clustertrustbundles/istio.io%3Aistiod-ca%3Aroot-cert";
  EXPECT_THAT(paths,
              ElementsAre("/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/culvert-validator",
                          "/apis/coordination.k8s.io/v1/namespaces/mesh/leases/culvertd",
                          "/api/v1/namespaces/mesh/secrets/istio-ca-secret", "/api/v1/namespaces/mesh/secrets/culvert-ca-roots",
                          "/apis/certificates.k8s.io/v1" + bundle, "/apis/certificates.k8s.io/v1beta1" + bundle));
}

}  // namespace
}  // namespace culvert::kube
