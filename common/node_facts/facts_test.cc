#include "common/node_facts/facts.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>

namespace culvert::node_facts {
namespace {

namespace fs = std::filesystem;

TEST(NodeFacts, KnowsWhereTheCgroupsAre) {
  const auto mounts = mounts_in(
      "24 1 0:22 / /sys rw - sysfs sysfs rw\n"
      "36 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 master:3 - cgroup2 cgroup2 rw,nsdelegate\n"
      "broken\n");

  ASSERT_EQ(mounts.size(), 2U);
  EXPECT_EQ(mounts[1].point, "/sys/fs/cgroup");
  EXPECT_EQ(mounts[1].type, "cgroup2");
}

TEST(NodeFacts, KnowsWhatListens) {
  const auto ports = listening_in(
      "  sl  local_address rem_address   st tx_queue rx_queue\n"
      "   0: 0100007F:3A98 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1\n"
      "   1: 0100007F:1F90 0100007F:C000 01 00000000:00000000 00:00000000 00000000     0        0 2\n"
      "   2: 00000000000000000000000000000000:3AA0 00000000000000000000000000000000:0000 0A 0 0 0\n");

  EXPECT_EQ(ports, (std::vector<std::uint16_t>{15000, 15008}));
}

TEST(NodeFacts, KnowsTheInterfaceThatLeadsOut) {
  EXPECT_EQ(default_interface_in("Iface\tDestination\tGateway\neth0\t0000A8C0\t0\neth1\t00000000\t0100A8C0\n"), "eth1");
  EXPECT_EQ(default_interface_in("Iface\tDestination\tGateway\n"), "");
}

TEST(NodeFacts, ReadsListsAndSinglePlugins) {
  const CniFile list = cni_file("/etc/cni/net.d/10-a.conflist",
                                R"({"cniVersion":"1.0.0","name":"a","plugins":[{"type":"bridge"},{"type":"portmap"}]})");
  EXPECT_EQ(list.plugins, (std::vector<std::string>{"bridge", "portmap"}));
  EXPECT_EQ(list.version, "1.0.0");
  EXPECT_EQ(list.error, "");
  EXPECT_EQ(cni_file("x", R"({"type":"bridge","name":"b"})").plugins, (std::vector<std::string>{"bridge"}));
  EXPECT_EQ(cni_file("x", "{").error, "is no JSON object");
  EXPECT_EQ(cni_file("x", R"({"plugins":[{}]})").error, "names no plugin");
}

TEST(NodeFacts, ComeBackFromJson) {
  const Facts facts{
      .kernel = "6.12.1",
      .machine = "x86_64",
      .btf = true,
      .cgroup2 = "/sys/fs/cgroup",
      .bpffs = true,
      .lockdown = "none",
      .selinux = true,
      .cni = {{.path = "/etc/cni/net.d/a.conf", .network = "a", .version = "1.0.0", .plugins = {"bridge"}, .error = "e"}},
      .listening = {15008},
      .interfaces = {{"eth0", 1500, true}}};

  const auto back = from_json(to_json(facts));

  ASSERT_TRUE(back) << back.error().text;
  EXPECT_EQ(*back, facts);
  EXPECT_FALSE(from_json("{}"));
  EXPECT_FALSE(from_json("no JSON"));
}

TEST(NodeFacts, AreThoseOfTheRootThatIsMounted) {
  std::string name = "/tmp/node-facts-XXXXXX";
  const fs::path root = ::mkdtemp(name.data());
  for (const char* folder :
       {"sys/kernel/btf", "sys/kernel/security", "sys/fs/selinux", "etc/cni/net.d", "sys/class/net/eth0", "sys/class/net/veth1"})
    fs::create_directories(root / folder);
  std::ofstream(root / "sys/kernel/btf/vmlinux") << "";
  std::ofstream(root / "sys/kernel/security/lockdown") << "none [integrity] confidentiality\n";
  std::ofstream(root / "sys/fs/selinux/enforce") << "1";
  std::ofstream(root / "sys/class/net/eth0/mtu") << "1450\n";
  std::ofstream(root / "sys/class/net/veth1/mtu") << "1500\n";
  std::ofstream(root / "etc/cni/net.d/10-a.conf") << R"({"type":"bridge"})";
  std::ofstream(root / "etc/cni/net.d/README") << "nothing";

  const Facts facts = read_facts(root);
  fs::remove_all(root);

  EXPECT_TRUE(facts.btf);
  EXPECT_EQ(facts.lockdown, "integrity");
  EXPECT_TRUE(facts.selinux);
  EXPECT_EQ(facts.cgroup2, "") << "our own is not that machine's";
  EXPECT_FALSE(facts.bpffs);
  ASSERT_EQ(facts.cni.size(), 1U);
  EXPECT_EQ(facts.cni[0].path, "/etc/cni/net.d/10-a.conf");
  ASSERT_EQ(facts.interfaces.size(), 1U);
  EXPECT_EQ(facts.interfaces[0].mtu, 1450);
  EXPECT_FALSE(facts.kernel.empty());
}

}  // namespace
}  // namespace culvert::node_facts
