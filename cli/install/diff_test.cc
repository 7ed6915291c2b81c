#include "cli/install/diff.h"

#include <gtest/gtest.h>

namespace culvert::cli::install {
namespace {

constexpr const char* kHas = R"(---
# Source: culvert/charts/ztunnel/templates/daemonset.yaml
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: ztunnel, namespace: istio-system, labels: {app: ztunnel}}
spec:
  template:
    spec:
      containers:
        - {name: ztunnel, image: "culvert.dev/ztunnel:0.1.0", env: [{name: A, value: "1"}, {name: B, value: "2"}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: rules, namespace: istio-system}
data: {a: x}
---
apiVersion: v1
kind: Secret
metadata: {name: keys, namespace: istio-system}
data: {key: c2VjcmV0}
)";

std::string compared(std::string_view has, std::string_view wanted) {
  const auto a = read_manifest(has), b = read_manifest(wanted);
  EXPECT_TRUE(a) << a.error().text;
  EXPECT_TRUE(b) << b.error().text;
  return difference(*a, *b);
}

std::string replaced(std::string text, std::string_view what, std::string_view with) {
  const auto at = text.find(what);
  EXPECT_NE(at, text.npos);
  return text.replace(at, what.size(), with);
}

TEST(Diff, SaysNothingWhereOnlyTheOrderDiffers) {
  const std::string other =
      replaced(kHas, "metadata: {name: ztunnel, namespace: istio-system", "metadata: {namespace: istio-system, name: ztunnel");

  EXPECT_EQ(compared(kHas, other), "");
  EXPECT_EQ(compared(kHas, replaced(kHas, R"({name: A, value: "1"}, {name: B, value: "2"})",
                                    R"({name: B, value: "2"}, {name: A, value: "1"})")),
            "");
}

TEST(Diff, NamesTheFieldOfTheObject) {
  EXPECT_EQ(compared(kHas, replaced(kHas, "ztunnel:0.1.0", "ztunnel:0.2.0")),
            "changed: DaemonSet istio-system/ztunnel\n"
            "  - spec.template.spec.containers[ztunnel].image: culvert.dev/ztunnel:0.1.0\n"
            "  + spec.template.spec.containers[ztunnel].image: culvert.dev/ztunnel:0.2.0\n");
  EXPECT_EQ(compared(kHas, replaced(kHas, R"(, {name: B, value: "2"})", "")),
            "changed: DaemonSet istio-system/ztunnel\n"
            "  - spec.template.spec.containers[ztunnel].env[B].name: B\n"
            "  - spec.template.spec.containers[ztunnel].env[B].value: 2\n");
}

TEST(Diff, TellsWhatIsNewAndWhatIsGone) {
  EXPECT_EQ(compared(kHas, replaced(kHas, "name: rules", "name: others")),
            "new: ConfigMap istio-system/others\ngone: ConfigMap istio-system/rules\n");
  EXPECT_EQ(compared("", kHas),
            "new: ConfigMap istio-system/rules\nnew: DaemonSet istio-system/ztunnel\nnew: Secret istio-system/keys\n");
}

TEST(Diff, ShowsNothingOfSecrets) {
  const std::string said = compared(kHas, replaced(kHas, "c2VjcmV0", "b3RoZXI="));

  EXPECT_EQ(said, "changed: Secret istio-system/keys\n  (what it holds is not shown)\n");
}

TEST(Diff, ShowsLongValuesByTheirSize) {
  EXPECT_EQ(compared(kHas, replaced(kHas, "{a: x}", "{a: \"" + std::string(300, 'y') + "\"}")),
            "changed: ConfigMap istio-system/rules\n  - data.a: x\n  + data.a: (300 bytes in 1 lines)\n");
}

TEST(Diff, RefusesWhatIsNoManifest) {
  EXPECT_FALSE(read_manifest("a: [").has_value());
  EXPECT_FALSE(read_manifest("a: b").has_value());
}

}  // namespace
}  // namespace culvert::cli::install
