#include "common/derive/delegate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/format.h"
#include "common/config/folder.h"
#include "common/derive/deriver.h"
#include "proto/istio/networking/v1alpha3/virtual_service.pb.h"

namespace culvert::derive {
namespace {

using config::Key;
using config::Kind;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::string routes(const std::string& name, const std::string& hosts, const std::string& http) {
  return "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: " + name +
         ", namespace: shop}\nspec: {" + (hosts.empty() ? "" : "hosts: [" + hosts + "], ") + "http: [" + http + "]}\n";
}
std::string root(const std::string& name, const std::string& to) {
  return routes(name, name + ".example", "{delegate: {name: " + to + "}}");
}
const std::string kRoute = "{route: [{destination: {host: web}}]}";

struct Delegates {
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
    const Key key{Kind::kVirtualService, "shop", name};
    objects.erase(key);
    deriver.update(objects, std::span(&key, 1));
  }
  std::vector<std::string> said() const {
    std::vector<std::string> out;
    for (const Warning& warning : deriver.warnings()) out.push_back(warning.object.name + " " + warning.text);
    return out;
  }

  Objects objects;
  Deriver deriver{{}};
};

TEST(Delegate, IsAVirtualServiceWithoutHosts) {
  Delegates mesh;
  mesh.write(root("a", "b") + routes("b", "", kRoute));
  EXPECT_THAT(mesh.said(), IsEmpty());

  mesh.write(routes("b", "b.example", kRoute));
  EXPECT_THAT(
      mesh.said(),
      ElementsAre("a spec.http[0].delegate: VirtualService shop/b has hosts, and a delegate has none: the route leads nowhere"));

  mesh.erase("b");
  EXPECT_THAT(mesh.said(), ElementsAre("a spec.http[0].delegate: there is no VirtualService shop/b: the route leads nowhere"));

  mesh.write(routes("b", "", kRoute));
  EXPECT_THAT(mesh.said(), IsEmpty());
}

TEST(Delegate, DelegatesNoFurther) {
  Delegates mesh;
  mesh.write(root("a", "b") + routes("b", "", kRoute + ", {delegate: {name: c}}") + routes("c", "", kRoute));
  EXPECT_THAT(
      mesh.said(),
      ElementsAre(
          "a spec.http[0].delegate: VirtualService shop/b delegates further, and one level is all that there is: its routes that "
          "do lead nowhere",
          "b spec.http[1].delegate: without spec.hosts this is a delegate itself, and may not delegate further: the route "
          "leads nowhere"));

  mesh.write(routes("b", "", kRoute));
  EXPECT_THAT(mesh.said(), IsEmpty());
}

TEST(Delegate, InACircleIsSaidOfEachOfThem) {
  Delegates mesh;
  mesh.write(root("a", "b") + routes("b", "", "{delegate: {name: a}}") + root("self", "self"));
  EXPECT_THAT(
      mesh.said(),
      ElementsAre(
          "a spec.http[0].delegate: VirtualService shop/b delegates back to this one, and one level is all that there is: its "
          "routes that do lead nowhere",
          "b spec.http[0].delegate: without spec.hosts this is a delegate itself, and may not delegate further: the route "
          "leads nowhere",
          "self spec.http[0].delegate: is this VirtualService itself: the route leads nowhere"));
}

TEST(Delegate, IsSeenFromWhereItIsExportedTo) {
  const auto exported = [](const std::string& to) {
    return "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: b, namespace: other}\nspec: "
           "{exportTo: [" +
           to + "], http: [" + kRoute + "]}\n";
  };
  Delegates mesh;
  mesh.write(routes("a", "a.example", "{delegate: {name: b, namespace: other}}") + exported("'.'"));
  EXPECT_THAT(
      mesh.said(),
      ElementsAre("a spec.http[0].delegate: VirtualService other/b is not exported to this namespace: the route leads nowhere"));

  for (const std::string to : {"shop", "'*'"}) {
    mesh.write(exported(to));
    EXPECT_THAT(mesh.said(), IsEmpty()) << to;
  }
}

TEST(Delegate, OfNoNameIsNobody) {
  Delegates mesh;
  mesh.write(routes("a", "a.example", "{delegate: {}}"));
  EXPECT_THAT(mesh.said(), ElementsAre("a spec.http[0].delegate: names no VirtualService: the route leads nowhere"));
}

TEST(Delegate, ThatChangesIsLookedAtWithItsRootsAlone) {
  Delegates mesh;
  std::string all = routes("b", "", kRoute) + routes("c", "", kRoute);
  for (int i = 0; i < 100; ++i) all += root(culvert::format("a-{}", i), i < 3 ? "b" : "c");
  mesh.write(all);

  mesh.write(routes("b", "", "{delegate: {name: c}}"));
  EXPECT_EQ(mesh.deriver.work().doubts, 4U) << "it and three roots";
  EXPECT_THAT(mesh.said(), SizeIs(4));

  mesh.write(routes("b", "", "{name: first, delegate: {name: c}}"));
  EXPECT_EQ(mesh.deriver.work().doubts, 1U) << "to whoever names it it is the same";
}

TEST(Delegate, OfThousandsSomeAreSaid) {
  Delegates mesh;
  std::string http;
  for (int i = 0; i < 2'000; ++i) http += culvert::format("{}{{delegate: {{name: b-{}}}}}", i > 0 ? ", " : "", i);
  mesh.write(routes("a", "a.example", http));
  EXPECT_THAT(mesh.said(), SizeIs(16));
}

config::ObjectPtr leaving_to(const std::string& name, const std::vector<std::string>& delegates, int routes_of_its_own) {
  auto spec = std::make_shared<istio::networking::v1alpha3::VirtualService>();
  if (!delegates.empty()) spec->add_hosts(name + ".example");
  for (const std::string& delegate : delegates) spec->add_http()->mutable_delegate()->set_name(delegate);
  for (int i = 0; i < routes_of_its_own; ++i) spec->add_http();
  config::Custom custom;
  custom.kind = Kind::kVirtualService;
  custom.metadata.name = name;
  custom.metadata.name_space = "shop";
  custom.spec = std::move(spec);
  return std::make_shared<const config::Object>(std::move(custom));
}

TEST(Delegate, IsLookedAtOnceHoweverManyRoutesAreLeftToIt) {
  constexpr int kMany = 200'000;  // route by route against route by route it would take until the test is ended
  Objects objects;
  objects.put({Kind::kVirtualService, "shop", "b"}, leaving_to("b", {}, kMany));
  const auto root = leaving_to("a", std::vector<std::string>(kMany, "b"), 0);

  EXPECT_THAT(delegate_doubts(std::get<config::Custom>(*root), objects), IsEmpty());
}

TEST(Delegate, OfVeryManyTheFirstAreLookedAt) {
  Objects objects;
  std::vector<std::string> names;
  for (int i = 0; i < 300; ++i) names.push_back(culvert::format("b{}", i));
  for (const std::string& name : names) objects.put({Kind::kVirtualService, "shop", name}, leaving_to(name, {}, 1));
  const auto root = leaving_to("a", names, 0);

  EXPECT_THAT(delegate_doubts(std::get<config::Custom>(*root), objects),
              ElementsAre("spec.http[256].delegate: the delegates after the first 256 are not looked at"));
}

}  // namespace
}  // namespace culvert::derive
