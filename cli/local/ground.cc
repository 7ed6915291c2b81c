#include "cli/local/ground.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <thread>
#include <tuple>

#include "cli/local/root.h"
#include "common/base/format.h"

namespace culvert::local {
namespace {

namespace fs = std::filesystem;

Status set_sysctl(const std::string& name, std::string_view value) {
  const Fd fd(open(("/proc/sys/net/" + name).c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd && errno == ENOENT && name.starts_with("ipv6/"))
    return failure("setting net/" + name + ": this kernel has IPv6 turned off (boot it without ipv6.disable=1)");
  if (!fd || write(fd.get(), value.data(), value.size()) < 0) return failure_errno("setting net/" + name);
  return {};
}

// For a fresh network namespace. Addresses are ours to give: no duplicate detection, so an IPv6 address is usable at once.
Status prepare_network(bool router) {
  std::vector<std::pair<std::string, std::string>> values = {
      {"ipv6/conf/default/accept_dad", "0"},     {"ipv6/conf/all/accept_dad", "0"},
      {"ipv6/conf/all/accept_redirects", "0"},   {"ipv6/conf/default/accept_redirects", "0"},
      {"ipv4/conf/all/send_redirects", "0"},     {"ipv4/conf/default/send_redirects", "0"},
      {"ipv4/ping_group_range", "0 2147483647"}, {"ipv4/ip_unprivileged_port_start", "0"}};
  if (router) values.insert(values.end(), {{"ipv4/ip_forward", "1"}, {"ipv6/conf/all/forwarding", "1"}});
  for (const auto& [name, value] : values) {
    if (auto done = set_sysctl(name, value); !done) return done;
  }
  for (const char* name : {"bridge/bridge-nf-call-iptables", "bridge/bridge-nf-call-ip6tables"}) {
    // Where the machine knows them: what crosses a node is routed, so rules for bridged frames would only see it twice.
    if (router && fs::exists(std::string("/proc/sys/net/") + name) && !set_sysctl(name, "0"))
      return failure_errno(std::string("setting net/") + name);
  }
  // Whatever the machine prefers: one that paces would measure its own timers. Reno where this machine does not let us choose Cubic.
  if (set_sysctl("ipv4/tcp_congestion_control", "cubic")) return {};
  return set_sysctl("ipv4/tcp_congestion_control", "reno");
}

Status name_netns(const Place& place, const std::string& name) {
  const std::string path = "/run/netns/" + name;
  const Fd file(open(path.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC, 0444));
  if (!file) return failure_errno("making " + path);
  return mount_at(culvert::format("/proc/self/fd/{}", place.net.get()).c_str(), path, nullptr, MS_BIND);
}

void forget_netns(const std::string& name) {
  const std::string path = "/run/netns/" + name;
  umount2(path.c_str(), MNT_DETACH);
  unlink(path.c_str());
}

// `ip` with many lines at once, in the network namespace of that name.
Status ip(const std::string& netns, const std::string& lines) {
  std::vector<std::string> argv = {"ip", "-batch", "-"};
  if (!netns.empty()) argv.insert(argv.begin() + 1, {"-n", netns});
  if (auto done = run({}, std::move(argv), lines); !done) return std::unexpected(done.error());
  return {};
}

Status set_hostname(const std::string& name) {
  if (sethostname(name.data(), std::min<std::size_t>(name.size(), 63)) != 0) return failure_errno("setting the hostname");
  return {};
}

Status each(std::initializer_list<std::function<Status()>> steps) {
  for (const auto& step : steps) {
    if (auto done = step(); !done) return done;
  }
  return {};
}

// A bridge without an address of its own takes the lowest of its ports': with a pod that goes it would change, and what the others remember of
// their gateway would be wrong for seconds.
constexpr const char* kPodsBridge = "02:00:00:00:00:01";
constexpr const char* kNodesBridge = "02:00:00:00:00:02";

std::string node_network(int node, int nodes) {
  const auto own = node_addresses(node), gateway = gateway_addresses(node), dns = dns_addresses(), control = control_addresses();
  std::string lines = culvert::format(
      "link set lo up\naddr add {}/32 dev lo\naddr add {}/128 dev lo\n"
      "addr add {}/24 dev eth0\naddr add {}/64 dev eth0 nodad\nlink set eth0 up\n"
      "link add pods address {} type bridge mcast_snooping 0\naddr add {}/24 dev pods\naddr add {}/64 dev pods nodad\nlink set "
      "pods up\n"
      "route add default via {}\nroute add default via {}\n",
      dns.v4.text(), dns.v6.text(), own.v4.text(), own.v6.text(), kPodsBridge, gateway.v4.text(), gateway.v6.text(),
      control.v4.text(), control.v6.text());
  for (int other = 1; other <= nodes; ++other) {
    if (other == node) continue;
    const auto via = node_addresses(other);
    lines += culvert::format("route add 10.244.{0}.0/24 via {1}\nroute add fd00:10:244:{0}::/64 via {2}\n", other, via.v4.text(),
                             via.v6.text());
  }
  return lines;
}

std::string pod_network(const PodPlan& pod) {
  const auto gateway = gateway_addresses(pod.node);
  // Neighbours are reached through the node, so that a service address that leads to one of them is undone on the way back.
  return culvert::format(
      "link set lo up\nlink set eth0 up\n"
      "addr add {0}/24 dev eth0 noprefixroute\naddr add {1}/64 dev eth0 nodad noprefixroute\n"
      "route add {2} dev eth0\nroute add {3} dev eth0\n"
      "route add default via {2} dev eth0 src {0}\nroute add default via {3} dev eth0 src {1}\n",
      pod.addresses.v4.text(), pod.addresses.v6.text(), gateway.v4.text(), gateway.v6.text());
}

// Its address on the link comes from the other one, as several network plugins make it: whoever is given an address that another pod had is
// reached at once by neighbours that still know that one.
std::string pod_mac(const PodPlan& pod) { return culvert::format("0a:58:0a:f4:{:02x}:{:02x}", pod.node, pod.host); }

std::string pod_link(const PodPlan& pod) { return culvert::format("pod{}", pod.host); }

}  // namespace

std::string world_path(std::string_view below) { return culvert::format("{}/{}", kWorldFolder, below); }
std::string cgroup_name(std::string_view world) { return "culvert.local." + std::string(world); }
std::string netns_name(const PodPlan& pod) {
  return pod.spec.host_network ? node_name(pod.node) : pod.metadata.name_space + "." + pod.metadata.name;
}
std::string netns_path(const PodPlan& pod) { return "/run/netns/" + netns_name(pod); }
std::string pod_folder(const PodPlan& pod) { return world_path("pods/" + pod.metadata.name_space + "." + pod.metadata.name); }

Status ground_world(const std::string& world) {
  const std::string cgroups = world_path("cgroup");
  auto done = each({
      [&] { return mount_at(nullptr, "/", nullptr, MS_REC | MS_PRIVATE); },
      [&] { return mount_at("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC); },
      [&] { return mount_at("culvert-run", "/run", "tmpfs", 0, "mode=755"); },
  });
  for (const char* below : {"", "config/status/pods", "logs", "pods", "nodes", "cgroup", "tokens", "volumes"}) {
    if (done) done = make_folder(world_path(below));
  }
  for (const char* path : {"/run/netns", "/run/ztunnel", "/run/culvert", "/run/lock"}) {
    if (done) done = make_folder(path);
  }
  if (!done) return done;
  return each({
      [&] { return mount_at("/run/netns", "/run/netns", nullptr, MS_BIND); },
      [&] { return mount_at(nullptr, "/run/netns", nullptr, MS_SHARED); },  // so that nodes see the pods that come later
      [&] { return mount_at("cgroup2", cgroups, "cgroup2"); },
      [&] { return remove_tree(cgroups + "/" + cgroup_name(world)); },
      [&] { return make_folder(cgroups + "/" + cgroup_name(world) + "/control"); },
      [&] { return set_hostname("control"); },
      [&] { return prepare_network(true); },
      [&] {
        Place own;
        own.net.reset(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
        return name_netns(own, "control");
      },
      [&] {
        const auto own = control_addresses();
        return ip("", culvert::format(
                          "link set lo up\nlink add nodes address {} type bridge mcast_snooping 0\naddr add {}/24 dev nodes\n"
                          "addr add {}/64 dev nodes nodad\nlink set nodes up\n",
                          kNodesBridge, own.v4.text(), own.v6.text()));
      },
      [&] {
        auto control = cgroup(world, "control");
        return control ? join_cgroup(control->get()) : Status(std::unexpected(control.error()));
      },
  });
}

Result<Fd> cgroup(const std::string& world, const std::string& below) {
  const std::string path = world_path("cgroup/" + cgroup_name(world) + "/" + below);
  if (auto made = make_folder(path); !made) return std::unexpected(made.error());
  Fd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return failure_errno("opening " + path);
  return fd;
}

void end_cgroup(const std::string& world, const std::string& below) {
  const std::string path = world_path("cgroup/" + cgroup_name(world) + "/" + below);
  if (const Fd fd(open((path + "/cgroup.kill").c_str(), O_WRONLY | O_CLOEXEC)); fd && write(fd.get(), "1", 1) != 1) return;
  std::ignore = remove_tree(path);
}

// A process that has just been killed leaves its cgroup a little later.
Status remove_tree(const std::string& path) {
  for (int tries = 0; fs::exists(path); ++tries) {
    std::error_code error;
    std::vector<fs::path> folders;
    for (fs::recursive_directory_iterator entry(path, error), end; entry != end; entry.increment(error)) {
      if (entry->is_directory(error)) folders.push_back(entry->path());
    }
    for (auto folder = folders.rbegin(); folder != folders.rend(); ++folder) rmdir(folder->c_str());
    if (rmdir(path.c_str()) == 0) return {};
    if (tries == 200) return failure_errno("removing " + path);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return {};
}

Status remove_cgroups(const std::string& world) {
  // In a mount namespace of our own: where this machine has mounted cgroup2, if it has, is its own affair.
  auto place = make_place(CLONE_NEWNS, {}, [&]() -> Status {
    return each({
        [&] { return mount_at(nullptr, "/", nullptr, MS_REC | MS_PRIVATE); },
        [&] { return mount_at("cgroup2", "/mnt", "cgroup2"); },
        [&] { return remove_tree("/mnt/" + cgroup_name(world)); },
    });
  });
  if (!place) return std::unexpected(place.error());
  return {};
}

Result<Place> make_node(const std::string& world, int node, int nodes) {
  const std::string name = node_name(node), folder = world_path("nodes/" + name);
  auto group = cgroup(world, name);
  if (!group) return std::unexpected(group.error());
  if (auto made = make_folder(folder); !made) return std::unexpected(made.error());
  const auto enter_group = [&] { return join_cgroup(group->get()); };
  auto place = make_place(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWCGROUP, enter_group, [&] {
    return each({
        [&] { return set_hostname(name); },
        [&] { return prepare_network(true); },
        [&] {
          return enter_root({.folder = folder,
                             .name_space = "",
                             .hostname = name,
                             .addresses = node_addresses(node),
                             .node = true,
                             .mounts = {}});
        },
    });
  });
  if (!place) return std::unexpected(place.error().during("making " + name));
  auto done = each({
      [&] { return name_netns(*place, name); },
      [&] {
        const auto own = node_addresses(node);
        return ip("", culvert::format("link add {0} type veth peer name eth0 netns {0}\nlink set {0} master nodes up\n"
                                      "route add 10.244.{1}.0/24 via {2}\nroute add fd00:10:244:{1}::/64 via {3}\n",
                                      name, node, own.v4.text(), own.v6.text()));
      },
      [&] { return ip(name, node_network(node, nodes)); },
  });
  if (!done) return std::unexpected(done.error().during("making " + name));
  return place;
}

Result<Place> make_pod(const std::string& world, const PodPlan& pod, const std::vector<Mount>& mounts, const Place& node) {
  const std::string name = netns_name(pod),
                    hostname = pod.spec.on_node->hostname.empty() ? pod.metadata.name : pod.spec.on_node->hostname;
  const auto failed = [&](const Error& error) { return std::unexpected(error.during("making pod " + pod.name().text())); };
  auto group = cgroup(world, pod_cgroup(pod));
  if (!group) return failed(group.error());
  if (auto made = make_folder(pod_folder(pod)); !made) return failed(made.error());
  const int spaces = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP | (pod.spec.host_network ? 0 : CLONE_NEWNET);
  const auto first = [&]() -> Status {
    if (auto joined = join_cgroup(group->get()); !joined || !pod.spec.host_network) return joined;
    if (setns(node.net.get(), CLONE_NEWNET) != 0) return failure_errno("entering the node's network");
    return {};
  };
  auto place = make_place(spaces, first, [&] {
    return each({
        [&] { return set_hostname(hostname); },
        [&] { return pod.spec.host_network ? Status() : prepare_network(false); },
        [&] {
          return enter_root({.folder = pod_folder(pod),
                             .name_space = pod.metadata.name_space,
                             .hostname = hostname,
                             .addresses = pod.addresses,
                             .node = false,
                             .mounts = mounts});
        },
    });
  });
  if (!place) return failed(place.error());
  place->cgroup = *std::move(group);
  if (pod.spec.host_network) {
    place->net.reset(fcntl(node.net.get(), F_DUPFD_CLOEXEC, 0));
    return place;
  }
  const auto done = each({
      [&] { return name_netns(*place, name); },
      [&] {
        return ip(node_name(pod.node),
                  culvert::format("link add {0} type veth peer name eth0 address {2} netns {1}\nlink set {0} master pods up\n",
                                  pod_link(pod), name, pod_mac(pod)));
      },
      [&] { return ip(name, pod_network(pod)); },
  });
  if (!done) return failed(done.error());
  return place;
}

void remove_pod(const std::string& world, const PodPlan& pod) {
  end_cgroup(world, pod_cgroup(pod));
  if (!pod.spec.host_network) {
    forget_netns(netns_name(pod));
    std::ignore =
        ip(node_name(pod.node), culvert::format("link del {}\n", pod_link(pod)));  // the name is free for the next at once
  }
  std::error_code error;
  fs::remove_all(pod_folder(pod), error);
}

std::string pod_cgroup(const PodPlan& pod) {
  return culvert::format("{}/pods/{}_{}", node_name(pod.node), pod.metadata.name_space, pod.metadata.name);
}

Result<Place> in_cgroup(const Place& place, Fd cgroup) {
  Place copy;
  const std::pair<const Fd*, Fd*> fds[] = {{&place.net, &copy.net},
                                           {&place.mount, &copy.mount},
                                           {&place.uts, &copy.uts},
                                           {&place.ipc, &copy.ipc},
                                           {&place.cgroup_ns, &copy.cgroup_ns}};
  for (const auto& [from, to] : fds) {
    if (!*from) continue;
    to->reset(fcntl(from->get(), F_DUPFD_CLOEXEC, 0));
    if (!*to) return failure_errno("duplicating a namespace");
  }
  copy.cgroup = std::move(cgroup);
  return copy;
}

}  // namespace culvert::local
