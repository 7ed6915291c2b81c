// Pods, cgroups and listeners: what the agent writes into the maps, and the sk_lookup instance of each pod.

#include <netinet/in.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <map>
#include <ranges>

#include "bpf/loader/cgroup.h"
#include "bpf/loader/links.h"
#include "bpf/loader/state.h"
#include "common/base/fd.h"
#include "common/base/format.h"

namespace culvert::bpf {
namespace {

constexpr culvert_present kPresent{.present = 1};

culvert_own_key own_key(std::uint64_t cookie, const IpAddress& address) {
  culvert_own_key key{};
  key.netns_cookie = cookie;
  key.family = address.is_v4() ? AF_INET : AF_INET6;
  std::ranges::copy(address.bytes(), key.address.bytes);
  return key;
}

// The keys of one pod become exactly `wanted`; what is new is there before what is old goes.
template <class Key>
Status hold(const Map<Key, culvert_present>& map, Held<Key>& held, std::uint64_t cookie, std::vector<Key> wanted) {
  const auto same = [](const Key& a, const Key& b) { return std::memcmp(&a, &b, sizeof(a)) == 0; };
  if (!held) {
    const auto present = map.keys();
    if (!present) return std::unexpected(present.error());
    held.emplace();
    for (const auto& key : *present) (*held)[key.netns_cookie].push_back(key);
  }
  const auto change = [&]() -> Status {
    for (const auto& key : wanted) {
      if (auto done = map.put(key, kPresent); !done) return done;
    }
    for (const auto& key : (*held)[cookie]) {
      if (std::ranges::any_of(wanted, [&](const auto& other) { return same(key, other); })) continue;
      if (auto done = map.remove(key); !done) return done;
    }
    return {};
  };
  auto changed = change();
  if (!changed) {
    held.reset();  // half done: to be listed again
  } else if (wanted.empty()) {
    held->erase(cookie);
  } else {
    (*held)[cookie] = std::move(wanted);
  }
  return changed;
}

culvert_listener_key listener_key(std::uint64_t cookie, std::uint16_t port, int family, int protocol) {
  culvert_listener_key key{};
  key.netns_cookie = cookie;
  key.port = htons(port);
  key.family = static_cast<__u8>(family);
  key.protocol = static_cast<__u8>(protocol);
  return key;
}

struct SlotPort {
  std::uint16_t port;
  int protocol;
};
constexpr SlotPort kSlots[] = {{CULVERT_PORT_OUTBOUND, IPPROTO_TCP},
                               {CULVERT_PORT_INBOUND, IPPROTO_TCP},
                               {CULVERT_PORT_DNS, IPPROTO_TCP},
                               {CULVERT_PORT_DNS, IPPROTO_UDP}};

// The set becomes exactly `ids`; what is new is there before what is old goes, unless what is old leaves no room.
Status make_set(const Map<culvert_cgroup_key, culvert_present>& set, std::span<const std::uint64_t> ids) {
  const auto add = [&]() -> Status {
    for (const auto id : ids) {
      if (auto done = set.put({.id = id}, kPresent); !done) return done;
    }
    return {};
  };
  const auto added = add();
  const auto present = set.keys();
  if (!present) return std::unexpected(present.error());
  for (const auto& key : *present) {
    if (std::ranges::contains(ids, key.id)) continue;
    if (auto done = set.remove(key); !done) return done;
  }
  return added ? added : add();
}

// One pass over open files: of one process, or of all when `only` is 0.
Result<Fd> open_walk(int program, pid_t only) {
  bpf_iter_link_info info{};
  info.task.pid = static_cast<__u32>(only);
  LIBBPF_OPTS(bpf_link_create_opts, options);
  options.iter_info = only == 0 ? nullptr : &info;
  options.iter_info_len = only == 0 ? 0 : sizeof(info);
  const Fd link(bpf_link_create(program, 0, BPF_TRACE_ITER, &options));
  if (!link) return failure_errno("refilling the listeners of ztunnel: making an iterator over open files");
  Fd walk(bpf_iter_create(link.get()));
  if (!walk) return failure_errno("refilling the listeners of ztunnel: starting the iterator over open files");
  return walk;
}

}  // namespace

Status Datapath::set_exempt_cgroups(std::span<const std::uint64_t> ids) {
  constexpr std::uint64_t kRoot = 1;
  const auto visible_root = cgroup_id(state_->cgroup_root);
  if (!visible_root) return std::unexpected(visible_root.error());
  for (const auto id : ids) {
    if (id == 0 || id == kRoot || id == *visible_root)
      return failure(culvert::format(
          "exempting cgroup {}: it is the root, which would exempt every process (start ztunnel in a cgroup of its own)", id));
  }
  return make_set(state_->exempt(), ids);
}

Result<std::vector<std::uint64_t>> Datapath::exempt_cgroups() const {
  const auto keys = state_->exempt().keys();
  if (!keys) return std::unexpected(keys.error());
  std::vector<std::uint64_t> ids;
  for (const auto& key : *keys) ids.push_back(key.id);
  return ids;
}

Status Datapath::set_kubelet_cgroups(std::span<const std::uint64_t> ids) { return make_set(state_->kubelets(), ids); }

Status Datapath::set_own_addresses(std::uint64_t netns_cookie, std::span<const IpAddress> addresses) {
  std::vector<culvert_own_key> wanted;
  for (const auto& address : addresses) {
    if (!address.is_none()) wanted.push_back(own_key(netns_cookie, address));
  }
  return hold(state_->own_addresses(), state_->owned, netns_cookie, std::move(wanted));
}

Status Datapath::set_probe_ports(std::uint64_t netns_cookie, std::span<const std::uint16_t> ports) {
  std::vector<culvert_probe_port_key> wanted;
  for (const auto port : ports) wanted.push_back({.netns_cookie = netns_cookie, .port = htons(port), .pad = {}});
  return hold(state_->probe_ports(), state_->probed, netns_cookie, std::move(wanted));
}

// Loads the pod's sk_lookup into `prepared`; returns its program.
Result<int> Datapath::load_lookup(const Pod& pod) {
  std::unique_ptr<culvert_lookup_bpf, DestroyLookup> lookup(culvert_lookup_bpf::open());
  if (!lookup) return libbpf_failure("opening the sk_lookup object", -errno);
  lookup->rodata->netns_cookie = pod.netns_cookie;
  lookup->rodata->dns_capture = pod.dns_capture;
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, lookup->obj) {
    if (bpf_map__is_internal(map)) continue;
    const bpf_map* shared = bpf_object__find_map_by_name(state_->node->obj, bpf_map__name(map));
    if (shared == nullptr) return failure(culvert::format("loading sk_lookup: no shared map {}", bpf_map__name(map)));
    if (const int error = bpf_map__reuse_fd(map, bpf_map__fd(shared)); error != 0)
      return libbpf_failure(culvert::format("loading sk_lookup: sharing map {}", bpf_map__name(map)), error);
  }
  if (const int error = culvert_lookup_bpf::load(lookup.get()); error != 0) return libbpf_failure("loading sk_lookup", error);
  const int program = bpf_program__fd(lookup->progs.culvert_lookup);
  state_->prepared[pod.netns_cookie] = std::move(lookup);
  return program;
}

Status Datapath::attach_lookup(int netns, const Pod& pod) {
  const auto program = load_lookup(pod);
  if (!program) return std::unexpected(program.error());
  const auto link = state_->lookup_link(pod.netns_cookie);
  if (state_->fresh && ::access(link.c_str(), F_OK) == 0) return {};  // a predecessor's
  auto attached = put_link(link, *program, 0, [&] { return bpf_link_create(*program, netns, BPF_SK_LOOKUP, nullptr); });
  state_->prepared.erase(pod.netns_cookie);
  return attached;
}

// Every pod that a predecessor captures and that lives has a program of ours and is in our map, whole or not.
Status Datapath::prepare_captured() {
  const auto captured = pinned_pods(state_->pin_dir);
  if (!captured) return std::unexpected(captured.error());
  for (const auto& [cookie, inode] : *captured) {
    if (inode == 0) continue;
    const auto known = state_->pods().find({.netns_cookie = cookie});
    if (!known) return std::unexpected(known.error());
    const Pod pod{.netns_cookie = cookie, .dns_capture = *known && ((*known)->flags & CULVERT_POD_DNS) != 0};
    if (!*known) {
      if (auto done = enrol(pod); !done) return done;
    }
    if (state_->prepared.contains(cookie)) continue;
    if (auto loaded = load_lookup(pod); !loaded) return std::unexpected(loaded.error());
  }
  return {};
}

Status Datapath::enrol(const Pod& pod) {
  return state_->pods().put({.netns_cookie = pod.netns_cookie},
                            {.flags = pod.dns_capture ? static_cast<__u32>(CULVERT_POD_DNS) : 0, .pad = 0});
}

Status Datapath::note_sysctls(std::uint64_t netns_cookie, const culvert_sysctls& before) const {
  return state_->sysctls().put({.netns_cookie = netns_cookie}, before);
}

Result<std::optional<culvert_sysctls>> Datapath::noted_sysctls(std::uint64_t netns_cookie) const {
  return state_->sysctls().find({.netns_cookie = netns_cookie});
}

Result<std::optional<culvert_sysctls>> Datapath::pinned_sysctls(const std::filesystem::path& pin_dir,
                                                                std::uint64_t netns_cookie) {
  const auto pin = pin_dir / shared_folder() / "pod_sysctls";
  const Fd map(bpf_obj_get(pin.c_str()));
  if (!map && errno == ENOENT) return std::nullopt;
  if (!map) return failure_errno(culvert::format("opening pinned map {}", pin.string()));
  return Map<culvert_pod_key, culvert_sysctls>(map.get(), "pod_sysctls").find({.netns_cookie = netns_cookie});
}

Status Datapath::withdraw(std::uint64_t netns_cookie) { return state_->pods().remove({.netns_cookie = netns_cookie}); }

Status Datapath::detach_lookup(std::uint64_t netns_cookie) {
  state_->prepared.erase(netns_cookie);
  return drop_link(state_->lookup_link(netns_cookie));
}

Status Datapath::forget(std::uint64_t netns_cookie) {
  for (const auto& slot : kSlots) {
    for (const int family : {AF_INET, AF_INET6}) {
      if (auto done = state_->listeners().remove(listener_key(netns_cookie, slot.port, family, slot.protocol)); !done)
        return done;
    }
  }
  if (auto done = state_->sysctls().remove({.netns_cookie = netns_cookie}); !done) return done;
  if (auto done = set_probe_ports(netns_cookie, {}); !done) return done;
  return set_own_addresses(netns_cookie, {});
}

Result<std::vector<Captured>> Datapath::pinned_pods(const std::filesystem::path& pin_dir) {
  std::vector<Captured> pods;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(pin_dir / "links", error)) {
    const std::string name = entry.path().filename();
    std::uint64_t cookie = 0;
    if (!name.starts_with("pod-") || std::from_chars(name.data() + 4, name.data() + name.size(), cookie).ec != std::errc{})
      continue;
    const auto inode = netns_of_link(entry.path());
    if (!inode) return std::unexpected(inode.error());
    pods.push_back({.netns_cookie = cookie, .netns_inode = *inode});
  }
  if (error && error != std::errc::no_such_file_or_directory)
    return failure(culvert::format("listing {}: {}", (pin_dir / "links").string(), error.message()));
  return pods;
}

Result<std::vector<Captured>> Datapath::known_pods() const {
  std::map<std::uint64_t, std::uint64_t> found;
  const auto pods = state_->pods().keys();
  if (!pods) return std::unexpected(pods.error());
  for (const auto& key : *pods) found[key.netns_cookie] = 0;
  const auto addresses = state_->own_addresses().keys();
  if (!addresses) return std::unexpected(addresses.error());
  for (const auto& key : *addresses) found[key.netns_cookie] = 0;
  const auto probed = state_->probe_ports().keys();
  if (!probed) return std::unexpected(probed.error());
  for (const auto& key : *probed) found[key.netns_cookie] = 0;
  const auto changed = state_->sysctls().keys();
  if (!changed) return std::unexpected(changed.error());
  for (const auto& key : *changed) found[key.netns_cookie] = 0;
  const auto pinned = pinned_pods(state_->pin_dir);
  if (!pinned) return std::unexpected(pinned.error());
  for (const auto& [cookie, inode] : *pinned) found[cookie] = inode;
  std::vector<Captured> out;
  for (const auto& [cookie, inode] : found) out.push_back({.netns_cookie = cookie, .netns_inode = inode});
  return out;
}

Result<std::uint64_t> Datapath::netns_inode(std::uint64_t netns_cookie) const {
  return netns_of_link(state_->lookup_link(netns_cookie));
}

Status Datapath::refill_listeners(pid_t only, Refill which) {
  const auto& programs = state_->node->progs;
  auto walk = open_walk(bpf_program__fd(which == Refill::kReplace ? programs.culvert_replace : programs.culvert_refill), only);
  // Before Linux 6.1, or that process has ended. Then nobody's sockets are to be preferred.
  if (!walk && only != 0) walk = open_walk(bpf_program__fd(programs.culvert_refill), 0);
  if (!walk) return std::unexpected(walk.error());
  char nothing[64];  // the program prints nothing: reading drives it
  ssize_t size = 0;
  do {
    size = ::read(walk->get(), nothing, sizeof(nothing));
  } while (size > 0 || (size < 0 && (errno == EINTR || errno == EAGAIN)));
  if (size < 0) return failure_errno("refilling the listeners of ztunnel: walking over open files");
  return {};
}

Result<Slots> Datapath::slots(std::uint64_t netns_cookie) const {
  Slots slots;
  Slots::Slot* const out[] = {&slots.outbound, &slots.inbound, &slots.dns_tcp, &slots.dns_udp};
  for (std::size_t i = 0; i < std::size(kSlots); i++) {
    const auto v4 = state_->listeners().find(listener_key(netns_cookie, kSlots[i].port, AF_INET, kSlots[i].protocol));
    if (!v4) return std::unexpected(v4.error());
    const auto v6 = state_->listeners().find(listener_key(netns_cookie, kSlots[i].port, AF_INET6, kSlots[i].protocol));
    if (!v6) return std::unexpected(v6.error());
    *out[i] = {.v4 = v4->has_value(), .v6 = v6->has_value()};
  }
  return slots;
}

Result<std::vector<Counter>> Datapath::counters() const {
#define CULVERT_COUNTER_ROW(NAME, program, exit, help) Counter{program, exit, help, 0},
  std::vector<Counter> out{CULVERT_COUNTERS(CULVERT_COUNTER_ROW)};
#undef CULVERT_COUNTER_ROW
  const int cpus = libbpf_num_possible_cpus();
  if (cpus < 0) return libbpf_failure("counting processors", cpus);
  std::vector<std::uint64_t> values(static_cast<std::size_t>(cpus));
  for (__u32 index = 0; index < out.size(); index++) {
    if (bpf_map_lookup_elem(bpf_map__fd(state_->node->maps.counters), &index, values.data()) != 0)
      return failure_errno("reading BPF map counters");
    out[index].value = std::ranges::fold_left(values, std::uint64_t{0}, std::plus{});
  }
  return out;
}

}  // namespace culvert::bpf
