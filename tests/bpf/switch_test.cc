// The read-only switches for kernels that lack a helper.

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <gmock/gmock.h>

#include <memory>

#include "bpf/include/culvert_abi.h"
#include "culvert_node_bpf.skel.h"
#include "tests/bpf/lab.h"

namespace culvert::bpf_test {
namespace {

struct Destroy {
  void operator()(culvert_node_bpf* node) const { culvert_node_bpf::destroy(node); }
};

TEST(Switch, WithoutSetRetvalARefusedConnectSeesEperm) {
  Lab lab;
  const auto app = lab.serve("c", 80);
  const std::unique_ptr<culvert_node_bpf, Destroy> node(culvert_node_bpf::open());
  ASSERT_TRUE(node);
  node->rodata->has_set_retval = false;
  ASSERT_EQ(culvert_node_bpf::load(node.get()), 0);
  const Fd cgroup(::open(lab.cgroup("app").c_str(), O_RDONLY | O_CLOEXEC));
  const int program = bpf_program__fd(node->progs.culvert_connect4);
  const Fd link(bpf_link_create(program, cgroup.get(), BPF_CGROUP_INET4_CONNECT, nullptr));
  ASSERT_TRUE(link) << errno_text(errno);
  EXPECT_THAT(lab.dial("a", "10.77.0.4:80"), testing::StartsWith("app"));
  const culvert_pod_key key{.netns_cookie = lab.pod("a").cookie};
  const culvert_pod pod{};

  ASSERT_EQ(bpf_map_update_elem(bpf_map__fd(node->maps.pods), &key, &pod, BPF_ANY), 0);

  EXPECT_EQ(lab.dial("a", "10.77.0.4:80"), "error Operation not permitted");
}

}  // namespace
}  // namespace culvert::bpf_test
