#include "cni/agent/cgroup_path.h"

#include <gtest/gtest.h>

namespace culvert::agent {
namespace {

constexpr std::string_view kUid = "9d2c7a10-1a2b-3c4d-5e6f-0123456789ab";

// Of the first line that names one.
std::string pod_of_text(std::string_view text) {
  for (const auto& line : cgroup_lines(text)) {
    if (auto pod = pod_of_path(line.path); !pod.uid.empty()) return pod.uid;
  }
  return {};
}

TEST(CgroupPath, FindsThePodInWhatKubeletsMake) {
  for (const auto* text : {
           "0::/kubepods/pod9d2c7a10-1a2b-3c4d-5e6f-0123456789ab/a3f0c1",
           "0::/kubepods/besteffort/pod9d2c7a10-1a2b-3c4d-5e6f-0123456789ab/a3f0c1\n",
           "0::/kubepods.slice/kubepods-pod9d2c7a10_1a2b_3c4d_5e6f_0123456789ab.slice/cri-containerd-a3f0c1.scope",
           "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod9d2c7a10_1a2b_3c4d_5e6f_0123456789ab.slice/"
           "crio-a3f0c1.scope",
           "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod9d2c7a10_1a2b_3c4d_5e6f_0123456789ab.slice/"
           "crio-conmon-a3f0c1.scope",
           "0::/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/"
           "kubelet-kubepods-besteffort-pod9d2c7a10_1a2b_3c4d_5e6f_0123456789ab.slice/cri-containerd-a3f0c1.scope",
           "0::/kubelet/kubepods/burstable/pod9d2c7a10-1a2b-3c4d-5e6f-0123456789ab/a3f0c1",
           "0::/docker/0011/kubelet/kubepods/pod9d2c7a10-1a2b-3c4d-5e6f-0123456789ab/a3f0c1",
           "0::/../../../kubepods/besteffort/pod9d2c7a10-1a2b-3c4d-5e6f-0123456789ab/a3f0c1",
           "0::/system.slice/containerd.service/"
           "kubepods-besteffort-pod9d2c7a10_1a2b_3c4d_5e6f_0123456789ab.slice:cri-containerd:a3f0c1",
           "12:memory:/kubepods/pod9d2c7a10-1a2b-3c4d-5e6f-0123456789ab/a3f0c1\n0::/\n",
           "1:name=systemd:/\n0::/system.slice/x.service\n3:cpu,cpuacct:/kubepods/pod9d2c7a10-1a2b-3c4d-5e6f-0123456789ab",
       }) {
    EXPECT_EQ(pod_of_text(text), kUid) << text;
  }
}

TEST(CgroupPath, FindsStaticPods) {
  EXPECT_EQ(pod_of_text("0::/kubepods/burstable/pod0f1e2d3c4b5a69788796a5b4c3d2e1f0/a3"), "0f1e2d3c4b5a69788796a5b4c3d2e1f0");
  EXPECT_EQ(pod_of_text("0::/kubepods.slice/kubepods-pod0f1e2d3c4b5a69788796a5b4c3d2e1f0.slice/crio-a3.scope"),
            "0f1e2d3c4b5a69788796a5b4c3d2e1f0");
}

TEST(CgroupPath, SeesThatAProcessIsNoPods) {
  for (const auto* text :
       {"", "\n", "0::/", "0::/init.scope", "0::/system.slice/kubelet.service", "0::/kubepods", "0::/kubepods/burstable",
        "0::/user.slice/pod9d2c7a10-1a2b-3c4d-5e6f-0123456789ab",  // no kubelet's
        "0::/kubepods/pod9d2c7a10-1a2b-3c4d-5e6f-0123456789abc",   // too long
        "0::/kubepods/pod9d2c7a10-1a2b-3c4d-5e6f", "0::/kubepods/podX",
        // Not where kubelets put them.
        "0::/user.slice/kubepods-pod9d2c7a10_1a2b_3c4d_5e6f_0123456789ab.slice",
        "0::/kubepods.slice/x/kubepods-pod9d2c7a10_1a2b_3c4d_5e6f_0123456789ab.slice",
        "0::/a-kubepods.slice/kubepods-pod9d2c7a10_1a2b_3c4d_5e6f_0123456789ab.slice",
        "0::/kubepods.slice/kubepods-burstable.slice/kubepods-pod9d2c7a10_1a2b_3c4d_5e6f_0123456789ab.slice",
        "0::/mykubepods/pod9d2c7a10-1a2b-3c4d-5e6f-0123456789ab", "0::/kubepods-x/pod9d2c7a10-1a2b-3c4d-5e6f-0123456789ab",
        "0::/kubepods/x/pod9d2c7a10-1a2b-3c4d-5e6f-0123456789ab"}) {
    EXPECT_EQ(pod_of_text(text), "") << text;
  }
}

TEST(CgroupPath, TellsThePodsOwnFolder) {
  EXPECT_EQ(pod_of_path("/a/kubepods/besteffort/pod9d2c7a10-1a2b-3c4d-5e6f-0123456789ab/a3/b").path,
            "/a/kubepods/besteffort/pod9d2c7a10-1a2b-3c4d-5e6f-0123456789ab");
  EXPECT_EQ(pod_of_path("/kubepods/a3").path, "");
}

TEST(CgroupLines, TellHierarchyAndPath) {
  const auto lines = cgroup_lines("12:cpu,cpuacct:/a:b\n1:name=systemd:/\nno line\n0::/init.scope\n");

  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[0].controllers, "cpu,cpuacct");
  EXPECT_EQ(lines[0].path, "/a:b");
  EXPECT_EQ(lines[1].controllers, "name=systemd");
  EXPECT_EQ(lines[2].controllers, "");
  EXPECT_EQ(lines[2].path, "/init.scope");
}

TEST(CgroupPath, BelievesTheOutermostPod) {
  EXPECT_EQ(
      pod_of_text("0::/kubepods/pod9d2c7a10-1a2b-3c4d-5e6f-0123456789ab/a3/kubepods/podffffffff-ffff-ffff-ffff-ffffffffffff/b"),
      kUid);
}

}  // namespace
}  // namespace culvert::agent
