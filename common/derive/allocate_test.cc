#include "common/derive/allocate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "common/base/format.h"
#include "common/config/folder.h"

namespace culvert::derive {
namespace {

using config::StatusAddress;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAreArray;

struct Entries {
  // `rest`: more of the spec. `status`: "host value" each.
  void put(const std::string& name, const std::string& hosts, const std::vector<StatusAddress>& status = {},
           const std::string& rest = "resolution: DNS", const std::string& created = "2026-01-01T00:00:00Z") {
    std::string text = culvert::format(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {}, namespace: shop, creationTimestamp: "
        "\"{}\"}}\n"
        "spec: {{hosts: [{}], ports: [{{number: 80, name: http}}], {}}}\nstatus:\n  addresses:\n",
        name, created, hosts, rest);
    for (const StatusAddress& one : status) text += culvert::format("  - {{host: \"{}\", value: \"{}\"}}\n", one.host, one.value);
    config::Folder folder;
    const config::Diff diff = folder.written("f.yaml", text, {});
    ASSERT_THAT(diff.problems, IsEmpty()) << text;
    for (const config::Change& change : diff.changes) objects.put(change.key, change.object);
  }
  // What allocate() says becomes the status, as whoever writes it to the API server makes it.
  Allocations settle() {
    const Allocations out = allocate(objects);
    for (const auto& [key, addresses] : out) {
      auto entry = *objects.find<config::Custom>(key.kind, key.name_space, key.name);
      entry.addresses = addresses;
      objects.put(key, std::make_shared<const config::Object>(std::move(entry)));
    }
    return out;
  }
  // Its host has the first `count` addresses of the IPv4 block, and one of IPv6.
  void keep(const std::string& name, const std::string& host, std::uint32_t count) {
    auto entry = *objects.find<config::Custom>(config::Kind::kServiceEntry, "shop", name);
    entry.addresses = {{"", host, "2001:2::1"}};
    for (std::uint32_t i = 1; i <= count; ++i)
      entry.addresses.push_back({"", host, culvert::format("240.240.{}.{}", i >> 8, i & 0xff)});
    const config::Key key{config::Kind::kServiceEntry, "shop", name};
    objects.put(key, std::make_shared<const config::Object>(std::move(entry)));
  }
  std::vector<StatusAddress> status(const std::string& name) const {
    return objects.find<config::Custom>(config::Kind::kServiceEntry, "shop", name)->addresses;
  }

  Objects objects;
};

TEST(Allocate, GivesEachHostOneAddressOfEachFamilyOutOfItsRange) {
  Entries entries;
  entries.put("a", "a.example.com, b.example.com");
  entries.settle();

  const auto status = entries.status("a");
  ASSERT_THAT(status, SizeIs(4));
  const Cidr v4 = *Cidr::parse("240.240.0.0/16"), v6 = *Cidr::parse("2001:2::/48");
  std::set<std::string> values;
  for (const StatusAddress& one : status) {
    const IpAddress address = *IpAddress::parse(one.value);
    EXPECT_TRUE((address.is_v4() ? v4 : v6).contains(address)) << one.value;
    values.insert(one.value);
  }
  EXPECT_THAT(values, SizeIs(4));
}

TEST(Allocate, SaysNothingWhereTheStatusIsAsItShouldBe) {
  Entries entries;
  entries.put("a", "a.example.com");
  entries.put("b", "b.example.com, c.example.com");
  EXPECT_THAT(entries.settle(), SizeIs(2));
  EXPECT_THAT(entries.settle(), IsEmpty());
}

TEST(Allocate, KeepsWhatIsStoredWhateverComesAndGoes) {
  Entries entries;
  entries.put("a", "a.example.com");
  entries.settle();
  const auto before = entries.status("a");

  for (int i = 0; i < 300; ++i)
    entries.put(culvert::format("older{}", i), culvert::format("h{}.example.com", i), {}, "resolution: DNS",
                "2025-01-01T00:00:00Z");
  entries.settle();
  EXPECT_EQ(entries.status("a"), before);

  entries.objects.erase({config::Kind::kServiceEntry, "shop", "older7"});
  EXPECT_THAT(entries.settle(), IsEmpty());
  EXPECT_EQ(entries.status("a"), before);
}

TEST(Allocate, AnEntryThatIsMadeAnewGetsWhatItHad) {
  Entries entries;
  entries.put("a", "a.example.com");
  entries.settle();
  const auto before = entries.status("a");
  entries.objects.erase({config::Kind::kServiceEntry, "shop", "a"});
  entries.put("b", "b.example.com");
  entries.settle();

  entries.put("a", "a.example.com");
  entries.settle();

  EXPECT_EQ(entries.status("a"), before);
}

TEST(Allocate, AHostThatComesGetsOneAndAHostThatGoesLosesItsOwn) {
  Entries entries;
  entries.put("a", "a.example.com",
              {{"", "a.example.com", "240.240.0.7"}, {"", "a.example.com", "2001:2::7"}, {"", "old.example.com", "240.240.0.8"}});
  const auto out = entries.settle();
  EXPECT_THAT(out, SizeIs(1));
  EXPECT_THAT(entries.status("a"),
              ElementsAre(StatusAddress{"", "a.example.com", "240.240.0.7"}, StatusAddress{"", "a.example.com", "2001:2::7"}));

  entries.put("a", "a.example.com, b.example.com", entries.status("a"));
  entries.settle();
  ASSERT_THAT(entries.status("a"), SizeIs(4));
  EXPECT_EQ(entries.status("a")[0].value, "240.240.0.7");
}

TEST(Allocate, TwoWithOneAddressTheOlderKeepsIt) {
  Entries entries;
  const std::vector<StatusAddress> both = {{"", "a.example.com", "240.240.0.7"}, {"", "a.example.com", "2001:2::7"}};
  entries.put("young", "a.example.com", both, "resolution: DNS", "2026-02-01T00:00:00Z");
  entries.put("old", "a.example.com", both, "resolution: DNS", "2026-01-01T00:00:00Z");
  entries.settle();

  EXPECT_EQ(entries.status("old"), both);
  EXPECT_THAT(entries.status("young"), SizeIs(2));
  EXPECT_NE(entries.status("young")[0].value, both[0].value);
  EXPECT_NE(entries.status("young")[1].value, both[1].value);
}

TEST(Allocate, ClearsWhatIsNotWantedAnyMore) {
  for (const std::string rest : {"resolution: NONE", "resolution: DNS, addresses: [192.0.2.1]"}) {
    Entries entries;
    entries.put("a", "a.example.com", {{"", "a.example.com", "240.240.0.7"}}, rest);
    EXPECT_THAT(entries.settle(), SizeIs(1)) << rest;
    EXPECT_THAT(entries.status("a"), IsEmpty()) << rest;
    EXPECT_THAT(entries.settle(), IsEmpty()) << rest;
  }
}

TEST(Allocate, SaysTheSameWhateverTheOrderInWhichTheyCame) {
  Entries forwards, backwards;
  for (int i = 0; i < 500; ++i) forwards.put(culvert::format("e{}", i), culvert::format("h{}.example.com", i));
  for (int i = 499; i >= 0; --i) backwards.put(culvert::format("e{}", i), culvert::format("h{}.example.com", i));

  EXPECT_EQ(allocate(forwards.objects), allocate(backwards.objects));
}

TEST(Allocate, NeverGivesOneAddressTwiceAndStopsWhenThereIsNone) {
  Entries entries;
  entries.put("all-but-511", "all.example.com");
  entries.keep("all-but-511", "all.example.com", 0xfe00 - 1);  // to 240.240.253.255
  constexpr int kEntries = 3, kHosts = 256;
  for (int i = 0; i < kEntries; ++i) {
    std::string hosts;
    for (int j = 0; j < kHosts; ++j) hosts += culvert::format("{}h{}-{}.example.com", j ? ", " : "", i, j);
    entries.put(culvert::format("e{}", i), hosts);
  }
  std::set<std::string> values;
  std::size_t v4 = 0, all = 0;
  for (const auto& [key, addresses] : allocate(entries.objects)) {
    for (const StatusAddress& one : addresses) {
      values.insert(one.value);
      ++all;
      v4 += one.value.contains('.') ? 1U : 0U;
    }
  }
  EXPECT_EQ(v4, 511U);  // 240.240.255.255 is nobody's
  EXPECT_EQ(all - v4, std::size_t{kEntries} * kHosts);
  EXPECT_EQ(values.size(), all);
}

TEST(Allocate, WhatAnAuthorClaimsTakesNoAddressFromAnybody) {
  Entries entries;
  entries.put("a", "a.example.com");
  entries.settle();
  const auto before = entries.status("a");

  entries.put("all", "all.example.com", {}, "resolution: STATIC, addresses: [240.240.0.0/16, \"2001:2::/48\"]");
  entries.put("zero", "zero.example.com", {}, "resolution: STATIC, addresses: [0.0.0.0/0, \"::/0\"]");
  entries.put("one", "one.example.com", {},
              culvert::format("resolution: STATIC, addresses: [{}, \"{}\"]", before[0].value, before[1].value));

  EXPECT_THAT(allocate(entries.objects), IsEmpty()) << "a keeps its own";
  entries.put("b", "b.example.com");
  EXPECT_THAT(entries.settle(), SizeIs(1));
  EXPECT_THAT(entries.status("b"), SizeIs(2)) << "and there is room for others";
}

TEST(Allocate, ANewAddressIsNotOneThatAnAuthorWrote) {
  Entries entries;
  entries.put("a", "a.example.com");
  entries.settle();
  const auto its = entries.status("a");
  entries.put("a", "a.example.com");
  entries.put("b", "b.example.com", {}, culvert::format("resolution: STATIC, addresses: [{}]", its[0].value));

  entries.settle();

  EXPECT_THAT(entries.status("a"), SizeIs(2));
  EXPECT_NE(entries.status("a")[0].value, its[0].value);
  EXPECT_EQ(entries.status("a")[1].value, its[1].value);
}

}  // namespace
}  // namespace culvert::derive
