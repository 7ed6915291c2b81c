// The ABI header as C++ sees it against the BTF of the objects as the kernel gets them.

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <gmock/gmock.h>

#include <map>
#include <memory>

#include "bpf/include/culvert_abi.h"
#include "culvert_lookup_bpf.skel.h"
#include "culvert_node_bpf.skel.h"

namespace culvert::bpf_test {
namespace {

struct Close {
  void operator()(bpf_object* object) const { bpf_object__close(object); }
};
using Object = std::unique_ptr<bpf_object, Close>;

template <class Skeleton>
Object open_object() {
  std::size_t size = 0;
  const void* bytes = Skeleton::elf_bytes(&size);
  return Object(bpf_object__open_mem(bytes, size, nullptr));
}

struct Field {
  std::string name;
  std::size_t offset, size;
  friend bool operator==(const Field&, const Field&) = default;
};
void PrintTo(const Field& field, std::ostream* out) { *out << field.name << " at " << field.offset << " size " << field.size; }

std::vector<Field> fields_of(const btf* btf, const char* type) {
  std::vector<Field> fields;
  const int id = btf__find_by_name_kind(btf, type, BTF_KIND_STRUCT);
  if (id < 0) return fields;
  const auto* structure = btf__type_by_id(btf, static_cast<__u32>(id));
  for (__u32 i = 0; i < btf_vlen(structure); i++) {
    const auto& member = btf_members(structure)[i];
    fields.push_back({btf__name_by_offset(btf, member.name_off), btf_member_bit_offset(structure, i) / 8,
                      static_cast<std::size_t>(btf__resolve_size(btf, member.type))});
  }
  return fields;
}

#define FIELD(type, name) \
  Field { #name, offsetof(type, name), sizeof(type::name) }

TEST(Abi, LayoutsAreThoseOfTheObject) {
  const auto object = open_object<culvert_node_bpf>();
  ASSERT_TRUE(object);
  const auto* btf = bpf_object__btf(object.get());
  using testing::ElementsAre;

  EXPECT_THAT(fields_of(btf, "culvert_pod_key"), ElementsAre(FIELD(culvert_pod_key, netns_cookie)));
  EXPECT_THAT(fields_of(btf, "culvert_pod"), ElementsAre(FIELD(culvert_pod, flags), FIELD(culvert_pod, pad)));
  EXPECT_THAT(fields_of(btf, "culvert_address"), ElementsAre(FIELD(culvert_address, bytes)));
  EXPECT_THAT(fields_of(btf, "culvert_own_key"),
              ElementsAre(FIELD(culvert_own_key, netns_cookie), FIELD(culvert_own_key, address), FIELD(culvert_own_key, family),
                          FIELD(culvert_own_key, pad)));
  EXPECT_THAT(
      fields_of(btf, "culvert_listener_key"),
      ElementsAre(FIELD(culvert_listener_key, netns_cookie), FIELD(culvert_listener_key, port),
                  FIELD(culvert_listener_key, family), FIELD(culvert_listener_key, protocol), FIELD(culvert_listener_key, pad)));
  EXPECT_THAT(fields_of(btf, "culvert_cgroup_key"), ElementsAre(FIELD(culvert_cgroup_key, id)));
  EXPECT_THAT(
      fields_of(btf, "culvert_flow_key"),
      ElementsAre(FIELD(culvert_flow_key, source), FIELD(culvert_flow_key, destination), FIELD(culvert_flow_key, source_port),
                  FIELD(culvert_flow_key, destination_port), FIELD(culvert_flow_key, family), FIELD(culvert_flow_key, pad)));
  EXPECT_THAT(fields_of(btf, "culvert_probe_port_key"),
              ElementsAre(FIELD(culvert_probe_port_key, netns_cookie), FIELD(culvert_probe_port_key, port),
                          FIELD(culvert_probe_port_key, pad)));
  EXPECT_THAT(fields_of(btf, "culvert_sysctls"),
              ElementsAre(FIELD(culvert_sysctls, tcp_fwmark_accept), FIELD(culvert_sysctls, fwmark_reflect_v4),
                          FIELD(culvert_sysctls, fwmark_reflect_v6), FIELD(culvert_sysctls, tcp_migrate_req)));
  EXPECT_THAT(fields_of(btf, "culvert_present"), ElementsAre(FIELD(culvert_present, present)));
  EXPECT_THAT(fields_of(btf, "culvert_abi"),
              ElementsAre(FIELD(culvert_abi, version), FIELD(culvert_abi, counters), FIELD(culvert_abi, mark_mask),
                          FIELD(culvert_abi, first_port), FIELD(culvert_abi, pod_flags), FIELD(culvert_abi, pods)));
}

std::map<std::string, int> values_of(const btf* btf, const char* type) {
  std::map<std::string, int> values;
  const int id = btf__find_by_name_kind(btf, type, BTF_KIND_ENUM);
  if (id < 0) return values;
  const auto* enumeration = btf__type_by_id(btf, static_cast<__u32>(id));
  for (__u32 i = 0; i < btf_vlen(enumeration); i++)
    values[btf__name_by_offset(btf, btf_enum(enumeration)[i].name_off)] = btf_enum(enumeration)[i].val;
  return values;
}

#define VALUE(name) {#name, static_cast<int>(name)}

TEST(Abi, NumbersAreThoseOfBothObjects) {
  std::map<std::string, int> counters;
#define CULVERT_COUNTER_WANTED(NAME, program, exit, help) counters["CULVERT_" #NAME] = CULVERT_##NAME;
  CULVERT_COUNTERS(CULVERT_COUNTER_WANTED)
#undef CULVERT_COUNTER_WANTED
  counters["CULVERT_COUNTER_COUNT"] = CULVERT_COUNTER_COUNT;
  using Values = std::map<std::string, int>;

  for (const auto& object : {open_object<culvert_node_bpf>(), open_object<culvert_lookup_bpf>()}) {
    ASSERT_TRUE(object);
    const auto* btf = bpf_object__btf(object.get());

    EXPECT_EQ(values_of(btf, "culvert_counter"), counters);
    EXPECT_EQ(values_of(btf, "culvert_mark"), (Values{VALUE(CULVERT_MARK_EGRESS), VALUE(CULVERT_MARK_CAPTURED),
                                                      VALUE(CULVERT_MARK_IN_POD), VALUE(CULVERT_MARK_MASK)}));
    EXPECT_EQ(values_of(btf, "culvert_port"), (Values{VALUE(CULVERT_PORT_OUTBOUND), VALUE(CULVERT_PORT_INBOUND),
                                                      VALUE(CULVERT_PORT_HBONE), VALUE(CULVERT_PORT_DNS)}));
    EXPECT_EQ(values_of(btf, "culvert_pod_flag"), (Values{VALUE(CULVERT_POD_DNS)}));
    EXPECT_EQ(values_of(btf, "culvert_limit"),
              (Values{VALUE(CULVERT_MAX_PODS), VALUE(CULVERT_MAX_OWN_ADDRESSES), VALUE(CULVERT_MAX_LISTENERS),
                      VALUE(CULVERT_MAX_CGROUPS), VALUE(CULVERT_MAX_PROBES), VALUE(CULVERT_MAX_PROBE_PORTS)}));
  }
}

TEST(Abi, BothObjectsDefineTheSameMaps) {
  const auto node = open_object<culvert_node_bpf>();
  const auto lookup = open_object<culvert_lookup_bpf>();
  bpf_map* map = nullptr;
  int maps = 0;

  bpf_object__for_each_map(map, lookup.get()) {
    if (bpf_map__is_internal(map)) continue;
    const auto* other = bpf_object__find_map_by_name(node.get(), bpf_map__name(map));
    ASSERT_NE(other, nullptr) << bpf_map__name(map);
    EXPECT_EQ(bpf_map__type(map), bpf_map__type(other)) << bpf_map__name(map);
    EXPECT_EQ(bpf_map__key_size(map), bpf_map__key_size(other)) << bpf_map__name(map);
    EXPECT_EQ(bpf_map__value_size(map), bpf_map__value_size(other)) << bpf_map__name(map);
    EXPECT_EQ(bpf_map__max_entries(map), bpf_map__max_entries(other)) << bpf_map__name(map);
    maps++;
  }

  EXPECT_EQ(maps, 10);
}

}  // namespace
}  // namespace culvert::bpf_test
