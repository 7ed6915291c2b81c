#include "common/derive/sharing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/format.h"
#include "common/config/folder.h"
#include "common/derive/deriver.h"

namespace culvert::derive {
namespace {

using config::Key;
using config::Kind;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::string entry(const std::string& name, const std::string& address, const std::string& network = "") {
  return "---\napiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: " + name +
         ", namespace: shop}\nspec: {address: " + address + (network.empty() ? "" : ", network: " + network) + "}\n";
}
std::string number(int index) { return culvert::format("vm-{:05}", index); }

struct Sharers {
  void write(const std::string& yaml) {
    config::Folder folder;
    std::vector<Key> keys;
    for (const config::Change& change : folder.written("f.yaml", yaml, {}).changes) {
      keys.push_back(change.key);
      objects.put(change.key, change.object);
    }
    deriver.update(objects, keys);
  }
  void erase(const std::string& name) {
    const Key key{Kind::kWorkloadEntry, "shop", name};
    objects.erase(key);
    deriver.update(objects, std::span(&key, 1));
  }
  // "name: what is doubtful", of WorkloadEntries.
  std::vector<std::string> said() const {
    std::vector<std::string> out;
    for (const Warning& warning : deriver.warnings()) out.push_back(warning.object.name + ": " + warning.text);
    return out;
  }
  // What is said is what would be said of each from nothing.
  void expect_exact() const {
    std::vector<std::string> anew;
    for (const auto& [name, object] : objects.in(Kind::kWorkloadEntry, "shop"))
      for (const std::string& text : doubts(config::key_of(*object), objects, settings))
        anew.push_back(std::string(name) + ": " + text);
    EXPECT_EQ(said(), anew);
  }

  Objects objects;
  Settings settings;
  Deriver deriver{settings};
};

TEST(Sharing, EachSaysWhoHasItsAddressAsWell) {
  Sharers world;
  world.write(entry("a", "192.0.2.1") + entry("b", "192.0.2.1") + entry("c", "192.0.2.2"));
  EXPECT_THAT(
      world.said(),
      ElementsAre(
          "a: spec.address: 192.0.2.1 is the address of WorkloadEntry shop/b as well: whoever has it is taken for one of them",
          "b: spec.address: 192.0.2.1 is the address of WorkloadEntry shop/a as well: whoever has it is taken for one of them"));

  world.erase("a");

  EXPECT_THAT(world.said(), IsEmpty());
}

TEST(Sharing, NobodyIsToldTheNamesOfAnotherNamespace) {
  Sharers world;
  std::string other = entry("secret", "192.0.2.1");
  other.replace(other.find("shop"), 4, "bank");
  world.write(entry("a", "192.0.2.1") + other);
  EXPECT_THAT(world.said(),
              ElementsAre("secret: spec.address: 192.0.2.1 is the address of somebody in another namespace as well: whoever has "
                          "it is taken for one of them",
                          "a: spec.address: 192.0.2.1 is the address of somebody in another namespace as well: whoever has it is "
                          "taken for one of them"));

  world.write(entry("b", "192.0.2.1"));
  EXPECT_THAT(world.said(),
              Contains(HasSubstr("a: spec.address: 192.0.2.1 is the address of WorkloadEntry shop/b and somebody in "
                                 "another namespace as well")));
}

TEST(Sharing, AnAddressThatMovesIsSharedNoMore) {
  Sharers world;
  world.write(entry("a", "192.0.2.1") + entry("b", "192.0.2.1"));
  world.write(entry("a", "192.0.2.3"));
  EXPECT_THAT(world.said(), IsEmpty());
}

TEST(Sharing, OneAddressInTwoNetworksIsTwo) {
  Sharers world;
  world.write("apiVersion: v1\nkind: Namespace\nmetadata: {name: istio-system, labels: {topology.istio.io/network: net1}}\n" +
              entry("a", "192.0.2.1", "net2") + entry("b", "192.0.2.1"));
  EXPECT_THAT(world.said(), Each(Not(HasSubstr("192.0.2.1"))));

  world.write(entry("c", "192.0.2.1", "net1"));
  EXPECT_THAT(world.said(), Contains(HasSubstr("b: spec.address: 192.0.2.1 is the address of WorkloadEntry shop/c as well")))
      << "the mesh is net1";

  world.write("apiVersion: v1\nkind: Namespace\nmetadata: {name: istio-system, labels: {topology.istio.io/network: net2}}\n");
  EXPECT_THAT(world.said(), Contains(HasSubstr("b: spec.address: 192.0.2.1 is the address of WorkloadEntry shop/a as well")));
  world.expect_exact();
}

TEST(Sharing, OfOneThatIsNotThereYetItIsSaid) {
  Sharers world;
  world.write(entry("a", "192.0.2.1"));
  config::Folder folder;
  const config::ObjectPtr object = folder.written("f.yaml", entry("b", "192.0.2.1"), {}).changes.at(0).object;
  EXPECT_THAT(doubts(*object, world.objects, world.settings, Sharing(world.objects)),
              ElementsAre(HasSubstr("the address of WorkloadEntry shop/a as well")));
}

class OfMany : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Sharing, OfMany, ::testing::Values(100, 500), ::testing::PrintToStringParamName());

TEST_P(OfMany, AFewAreLookedAtWhenOneComesOrGoes) {
  Sharers world;
  std::string all;
  for (int i = 0; i < GetParam(); ++i) all += entry(number(i), "192.0.2.1");
  world.write(all);

  for (const int index : {0, 7, GetParam() / 2}) {
    world.erase(number(index));
    EXPECT_LE(world.deriver.work().doubts, Sharing::kMost + 3);
    world.write(entry(number(index), "192.0.2.1"));
    EXPECT_LE(world.deriver.work().doubts, Sharing::kMost + 3);
  }
  EXPECT_THAT(world.said(),
              Contains(HasSubstr("vm-00003: spec.address: 192.0.2.1 is the address of WorkloadEntry shop/vm-00000, WorkloadEntry "
                                 "shop/vm-00001, WorkloadEntry shop/vm-00002 and many others as well")));
  EXPECT_THAT(world.said(),
              Contains(HasSubstr("vm-00050: spec.address: 192.0.2.1 is the address of more than 16 others as well")));
}

// One that shares each of many addresses, with somebody else each time.
struct OfManyAddresses : ::testing::Test {
  static constexpr int kAddresses = 256;

  static std::string service_entry(const std::string& name, const std::vector<int>& addresses, const std::string& port = "http") {
    std::string list;
    for (const int index : addresses) list += culvert::format("{}192.0.{}.{}", list.empty() ? "" : ", ", index >> 8, index & 255);
    return culvert::format(
        "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {0}, namespace: shop}}\n"
        "spec: {{hosts: [{0}.example.com], addresses: [{1}], ports: [{{number: 80, name: {2}}}], resolution: STATIC}}\n",
        name, list, port);
  }
  void SetUp() override {
    std::string others;
    for (int i = 0; i <= kAddresses; ++i) {
      others += service_entry(number(i) + "-a", {i}) + service_entry(number(i) + "-b", {i});
      if (i < kAddresses) all.push_back(i);
    }
    world.write(others);
    world.write(service_entry("many", all));
    ASSERT_GT(world.deriver.work().doubts, 2U * kAddresses) << "each of the others has something new to say";
  }
  std::vector<std::string> said_by(const std::string& name) const {
    std::vector<std::string> out;
    for (const std::string& text : world.said())
      if (text.starts_with(name + ": spec.addresses: ")) out.push_back(text);
    return out;
  }

  Sharers world;
  std::vector<int> all;
};

TEST_F(OfManyAddresses, NobodyElseIsLookedAtWhenItsAddressesStay) {
  world.write(service_entry("many", all, "https"));

  EXPECT_LE(world.deriver.work().doubts, 1U);
  EXPECT_THAT(said_by("vm-00007-a"), ElementsAre(HasSubstr("ServiceEntry shop/many, ServiceEntry shop/vm-00007-b")));
}

TEST_F(OfManyAddresses, TheFirstAreTold) {
  const auto& object = *world.objects.in(Kind::kServiceEntry, "shop").at("many");
  EXPECT_THAT(world.deriver.tally().sharing.of(object, ""), testing::SizeIs(Sharing::kMost));
}

TEST_F(OfManyAddresses, WhoSharesAnAddressThatComesOrGoesIsLookedAt) {
  all[7] = kAddresses;

  world.write(service_entry("many", all));

  EXPECT_LE(world.deriver.work().doubts, 1U + 2U + 2U);
  EXPECT_THAT(said_by("vm-00007-a"), ElementsAre(HasSubstr("is written by ServiceEntry shop/vm-00007-b as well")));
  EXPECT_THAT(said_by(number(kAddresses) + "-a"), ElementsAre(HasSubstr("ServiceEntry shop/many")));
  EXPECT_THAT(said_by("many"), testing::SizeIs(Sharing::kMost));
}

// Around the number where they are no longer named, several at once.
TEST(Sharing, IsExactAroundTheMostThatAreNamed) {
  Sharers world;
  for (int count = 15; count < 19; ++count) {
    for (const int batch : {1, 2, 4}) {
      std::string before, more;
      for (int i = 0; i < count; ++i) before += entry(number(i + 100), "192.0.2.1");
      for (int i = 0; i < batch; ++i) more += entry(number(i * 101), "192.0.2.1");
      world.write(before);
      world.write(more);
      world.expect_exact();
      const auto names = world.objects.in(Kind::kWorkloadEntry, "shop");
      for (const auto& [name, object] : names) {
        world.erase(std::string(name));
        world.expect_exact();
      }
    }
  }
}

}  // namespace
}  // namespace culvert::derive
