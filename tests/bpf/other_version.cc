// A node agent of another ABI version, as far as the kernel is concerned: the loader and its objects built once more with another
// CULVERT_ABI_VERSION. Takes over what is pinned:
//   bpf_other_version PIN_DIR HOST_COOKIE EXEMPT_CGROUP KUBELET_CGROUP (NETNS_PATH dns|-)...

#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "bpf/loader/datapath.h"
#include "cni/redirect/netns.h"
#include "cni/redirect/redirect.h"

namespace {

template <class T>
T must(culvert::Result<T> result) {
  if (!result) throw std::runtime_error(result.error().text);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

std::uint64_t number(std::string_view text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

constexpr std::uint16_t kProbed[] = {80, 81};

struct Pod {
  culvert::Fd netns;
  culvert::bpf::Pod declared;
};

void take_over(int argc, char** argv) {
  auto datapath =
      must(culvert::bpf::Datapath::load({.pin_dir = argv[1], .cgroup_root = {}, .host_netns_cookie = number(argv[2])}));
  if (!datapath.fresh()) throw std::runtime_error("this version's maps were there already");
  const std::uint64_t exempt[] = {number(argv[3])}, kubelet[] = {number(argv[4])};
  must(datapath.set_exempt_cgroups(exempt));
  must(datapath.set_kubelet_cgroups(kubelet));
  std::vector<Pod> pods;
  for (int i = 5; i + 1 < argc; i += 2) {
    Pod pod{must(culvert::redirect::open_netns(argv[i])), {}};
    pod.declared = {.netns_cookie = must(culvert::redirect::netns_cookie(pod.netns.get())),
                    .dns_capture = std::strcmp(argv[i + 1], "dns") == 0};
    must(datapath.set_own_addresses(pod.declared.netns_cookie, must(culvert::redirect::own_addresses(pod.netns.get()))));
    must(datapath.set_probe_ports(pod.declared.netns_cookie, kProbed));
    pods.push_back(std::move(pod));
  }
  must(datapath.refill_listeners());
  for (const auto& pod : pods) {
    must(datapath.attach_lookup(pod.netns.get(), pod.declared));
    must(datapath.enrol(pod.declared));
  }
  ::usleep(300'000);  // an agent's pods take their time: meanwhile everything goes on as it was
  must(datapath.activate());
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 5) return 2;
  take_over(argc, argv);
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "bpf_other_version: %s\n", error.what());
  return 1;
}
